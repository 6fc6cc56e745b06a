// Mini-batches of a data set as tensors, and what a network makes of them: batch-norm statistics over training images,
// and its score on images that it was not trained on.

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import type { LayerGraph, Shape } from '../../search-space/index.ts'
import { type Batch, batchIndices, type BatchRequest, type BatchSource } from '../datasets/index.ts'
import { averageStatistics, batchStatistics, type ChannelStatistics, predict, type Weights } from '../executor/index.ts'
import { createTally, type Score } from './score.ts'

type Statistics = ReadonlyMap<string, ChannelStatistics>

type Evaluated = {
  readonly graph: LayerGraph
  readonly weights: Weights
  readonly source: BatchSource
  /** Of an image. */
  readonly shape: Shape
  readonly signal?: AbortSignal
}

/** Runs `body` on a mini-batch as a tensor, which is freed behind it. */
async function withImages<T>({ images, labels }: Batch, shape: Shape, body: (images: tf.Tensor4D) => Promise<T>): Promise<T> {
  const tensor = tf.tensor4d(images, [labels.length, ...shape])
  try {
    return await body(tensor)
  } finally {
    tensor.dispose()
  }
}

/** Runs `body` on each mini-batch in turn. Throws the signal's reason between two. */
async function forEachBatch(
  { source, shape, signal }: Evaluated,
  requests: Iterable<BatchRequest>,
  body: (images: tf.Tensor4D, labels: Int32Array) => Promise<void>,
): Promise<void> {
  for await (const batch of source.batches(requests)) {
    await withImages(batch, shape, (images) => body(images, batch.labels))
    await nextTurn()
    signal?.throwIfAborted()
  }
}

/** The mean over `count` unchanged mini-batches of a share of the training images. */
async function estimateStatistics(
  evaluated: Evaluated,
  { share, batchSize, count, seed }: { share: Uint32Array; batchSize: number; count: number; seed: string },
): Promise<Statistics> {
  const requests = Array.from({ length: count }, (_, i) => ({ split: 'train' as const, indices: batchIndices(share, batchSize, i, seed) }))
  const observed: Map<string, ChannelStatistics>[] = []
  await forEachBatch(evaluated, requests, async (images) => {
    observed.push(await batchStatistics(evaluated.graph, evaluated.weights, images))
  })
  return averageStatistics(observed)
}

/** The score on these images of a split. */
async function scoreOn(
  evaluated: Evaluated,
  { split, indices, batchSize, statistics }: { split: 'train' | 'test'; indices: Uint32Array; batchSize: number; statistics: Statistics },
): Promise<Score> {
  const { graph, weights } = evaluated
  const requests = Array.from({ length: Math.ceil(indices.length / batchSize) }, (_, i) => ({
    split,
    indices: indices.subarray(i * batchSize, (i + 1) * batchSize),
  }))
  const tally = createTally()
  await forEachBatch(evaluated, requests, async (images, labels) => {
    tally.add(await predict({ graph, weights, images, statistics }), labels)
  })
  return tally.score()
}

export { estimateStatistics, scoreOn, type Statistics, withImages }
