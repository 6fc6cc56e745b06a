// Mini-batches of a data set as tensors, and what a network makes of them: batch-norm statistics over training images,
// and its score on images that it was not trained on.

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import { createRandom, type LayerGraph, type RandomState } from '../../search-space/index.ts'
import { type Augmentation, batchIndices, type Dataset, fillBatch, type Split } from '../datasets/index.ts'
import { averageStatistics, batchStatistics, type ChannelStatistics, predict, type Weights } from '../executor/index.ts'
import { createTally, type Score } from './score.ts'

type Statistics = ReadonlyMap<string, ChannelStatistics>

type BatchRequest = {
  readonly split: Split
  readonly indices: Uint32Array
  /** Default: the images as they are. */
  readonly augmented?: { readonly augmentation: Augmentation; readonly state: RandomState }
}

/** Runs `body` on a mini-batch, which is freed behind it. */
type WithBatch = <T>(request: BatchRequest, body: (images: tf.Tensor4D, labels: Int32Array) => Promise<T>) => Promise<T>

function createBatches({ normalisation, shape }: Dataset): WithBatch {
  return async ({ split, indices, augmented }, body) => {
    const random = augmented && createRandom(augmented.state)
    const batch = fillBatch({ split, indices, normalisation, augmentation: augmented?.augmentation, random })
    const images = tf.tensor4d(batch.images, [indices.length, ...shape])
    try {
      return await body(images, batch.labels)
    } finally {
      images.dispose()
    }
  }
}

type Network = { readonly graph: LayerGraph; readonly weights: Weights; readonly withBatch: WithBatch; readonly signal?: AbortSignal }

/** The mean over `count` unchanged mini-batches of a share. Throws the signal's reason. */
async function estimateStatistics(
  { graph, weights, withBatch, signal }: Network,
  { split, share, batchSize, count, seed }: { split: Split; share: Uint32Array; batchSize: number; count: number; seed: string },
): Promise<Statistics> {
  const batches = []
  for (let i = 0; i < count; i++) {
    const indices = batchIndices(share, batchSize, i, seed)
    batches.push(await withBatch({ split, indices }, (images) => batchStatistics(graph, weights, images)))
    await nextTurn()
    signal?.throwIfAborted()
  }
  return averageStatistics(batches)
}

/** The score on these images of a split. Throws the signal's reason. */
async function scoreOn(
  { graph, weights, withBatch, signal }: Network,
  { split, indices, batchSize, statistics }: { split: Split; indices: Uint32Array; batchSize: number; statistics: Statistics },
): Promise<Score> {
  const tally = createTally()
  for (let start = 0; start < indices.length; start += batchSize) {
    await withBatch({ split, indices: indices.subarray(start, start + batchSize) }, async (images, labels) =>
      tally.add(await predict({ graph, weights, images, statistics }), labels),
    )
    await nextTurn()
    signal?.throwIfAborted()
  }
  return tally.score()
}

export { createBatches, estimateStatistics, scoreOn, type Statistics }
