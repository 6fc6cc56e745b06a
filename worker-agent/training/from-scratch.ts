// Trains one architecture from scratch and measures it on the validation share: what a search's outcome is judged by. The
// weight and architecture shares train it; batch-norm's running statistics are estimated afterwards as the mean over
// training batches, so that it classifies one image like another.

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import type { TrainingConfig } from '../../coordinator/protocol/index.ts'
import { createRandom, type Path, seedState, type Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import { batchIndices, type Dataset, fillBatch, splitShares } from '../datasets/index.ts'
import { averageStatistics, batchStatistics, cosineRate, createSgd, createWeights, evaluate, trainStep } from '../executor/index.ts'

const STATISTICS_BATCHES = 32

type FromScratchOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly space: Space
  readonly path: Path
  readonly training: TrainingConfig
  readonly seed: number
  /** Seed of the shares: that of the search, so that the validation images are the same. */
  readonly shareSeed: number
  readonly signal?: AbortSignal
  readonly onStep?: (step: number, loss: number) => void
}

type FromScratchResult = {
  readonly accuracy: number
  readonly crossEntropy: number
  readonly trainLoss: number
  readonly validationImages: number
}

async function trainFromScratch({
  backend,
  dataset,
  space,
  path,
  training,
  seed,
  shareSeed,
  signal,
  onStep,
}: FromScratchOptions): Promise<FromScratchResult> {
  const { batchSize, labelSmoothing, momentum, weightDecay, steps, learningRate, augmentation } = training
  const shares = splitShares(dataset.train.count, shareSeed, training.shares)
  const trainShare = Uint32Array.from([...shares.weights, ...shares.architecture])
  const graph = space.network(path)
  const weights = createWeights(backend, space.weightSpecs, seed)
  const optimiser = createSgd({ momentum, nesterov: true, weightDecay })
  const { normalisation, train: split } = dataset

  const withBatch = async <T>(
    indices: Uint32Array,
    augmentStep: number | null,
    body: (images: tf.Tensor4D, labels: Int32Array) => Promise<T>,
  ): Promise<T> => {
    const augmented = augmentStep === null ? {} : { augmentation, random: createRandom(seedState('augmentation', seed, augmentStep)) }
    const batch = fillBatch({ split, indices, normalisation, ...augmented })
    const images = tf.tensor4d(batch.images, [indices.length, ...space.input])
    try {
      return await body(images, batch.labels)
    } finally {
      images.dispose()
    }
  }

  try {
    let trainLoss = Number.NaN
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted()
      trainLoss = await withBatch(batchIndices(trainShare, batchSize, step, `scratch/${seed}`), step, async (images, labels) => {
        const { loss, gradients } = await trainStep({ graph, weights, images, labels, labelSmoothing })
        optimiser.apply(weights, gradients, cosineRate(step, steps, learningRate))
        return loss
      })
      onStep?.(step + 1, trainLoss)
      await nextTurn()
    }

    const batches = []
    for (let i = 0; i < STATISTICS_BATCHES; i++) {
      batches.push(
        await withBatch(batchIndices(trainShare, batchSize, i, `statistics/${seed}`), null, (images) =>
          batchStatistics(graph, weights, images),
        ),
      )
    }
    const statistics = averageStatistics(batches)

    let correct = 0
    let crossEntropy = 0
    for (let start = 0; start < shares.validation.length; start += batchSize) {
      const indices = shares.validation.subarray(start, start + batchSize)
      const result = await withBatch(indices, null, (images, labels) => evaluate({ graph, weights, images, labels, statistics }))
      correct += result.correct
      crossEntropy += (result.loss * indices.length) / shares.validation.length
    }
    return { accuracy: correct / shares.validation.length, crossEntropy, trainLoss, validationImages: shares.validation.length }
  } finally {
    weights.dispose()
    optimiser.clear()
  }
}

export { type FromScratchOptions, type FromScratchResult, trainFromScratch }
