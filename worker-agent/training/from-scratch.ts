// Trains one architecture from scratch and measures it on the validation share: what a search's outcome is judged by. The
// weight and architecture shares train it; batch-norm's running statistics are estimated afterwards as the mean over
// training batches, so that it classifies one image like another.

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import type { TrainingConfig } from '../../coordinator/protocol/index.ts'
import type { Path, Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import {
  type Batch,
  batchIndices,
  type BatchRequest,
  type BatchStream,
  type Dataset,
  openBatchSource,
  splitShares,
} from '../datasets/index.ts'
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
  /** Files of the data that could not be decoded; another image of their class took the place of each. */
  readonly brokenFiles: string[]
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
  const source = await openBatchSource(dataset)

  const request = (indices: Uint32Array, step: number | null = null): BatchRequest => ({
    split: 'train',
    indices,
    augmentation: step === null ? undefined : { settings: augmentation, seed: ['augmentation', seed, step] },
  })
  /** Batches of steps 0 … count − 1, decoded ahead of their use where images are in files. */
  const stream = (count: number, requestOf: (step: number) => BatchRequest): BatchStream =>
    source.batches(
      (function* () {
        for (let step = 0; step < count; step++) yield requestOf(step)
      })(),
    )
  const withBatch = async <T>(batches: BatchStream, body: (images: tf.Tensor4D, labels: Int32Array) => Promise<T>): Promise<T> => {
    const batch = (await batches.next()).value as Batch
    const images = tf.tensor4d(batch.images, [batch.labels.length, ...space.input])
    try {
      return await body(images, batch.labels)
    } finally {
      images.dispose()
    }
  }
  const trainBatches = stream(steps, (step) => request(batchIndices(trainShare, batchSize, step, `scratch/${seed}`), step))

  try {
    let trainLoss = Number.NaN
    for (let step = 0; step < steps; step++) {
      signal?.throwIfAborted()
      trainLoss = await withBatch(trainBatches, async (images, labels) => {
        const { loss, gradients } = await trainStep({ graph, weights, images, labels, labelSmoothing })
        optimiser.apply(weights, gradients, cosineRate(step, steps, learningRate))
        return loss
      })
      onStep?.(step + 1, trainLoss)
      await nextTurn()
    }

    const batches = []
    const statisticsBatches = stream(STATISTICS_BATCHES, (i) => request(batchIndices(trainShare, batchSize, i, `statistics/${seed}`)))
    for (let i = 0; i < STATISTICS_BATCHES; i++) {
      batches.push(await withBatch(statisticsBatches, (images) => batchStatistics(graph, weights, images)))
    }
    const statistics = averageStatistics(batches)

    let correct = 0
    let crossEntropy = 0
    const validation = Math.ceil(shares.validation.length / batchSize)
    const validationBatches = stream(validation, (i) => request(shares.validation.subarray(i * batchSize, (i + 1) * batchSize)))
    for (let i = 0; i < validation; i++) {
      const { images, result } = await withBatch(validationBatches, async (images, labels) => ({
        images: labels.length,
        result: await evaluate({ graph, weights, images, labels, statistics }),
      }))
      correct += result.correct
      crossEntropy += (result.loss * images) / shares.validation.length
    }
    return {
      accuracy: correct / shares.validation.length,
      crossEntropy,
      trainLoss,
      validationImages: shares.validation.length,
      brokenFiles: source.brokenFiles(),
    }
  } finally {
    await trainBatches.return()
    weights.dispose()
    optimiser.clear()
  }
}

export { type FromScratchOptions, type FromScratchResult, trainFromScratch }
