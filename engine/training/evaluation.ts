// Mini-batches of a data set as tensors, and what a network makes of them: batch-norm statistics over training images,
// and its score on images that it was not trained on.

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import type { LayerGraph, Shape } from '../../search-space/index.ts'
import { type Batch, batchIndices, type BatchRequest, type BatchSource } from '../datasets/index.ts'
import { batchStatistics, type ChannelStatistics, predict, type Weights } from '../executor/index.ts'
import { createTally, type ScoreSums } from './score.ts'

type Statistics = ReadonlyMap<string, ChannelStatistics>

/** Statistics of one mini-batch. */
type Observed = Map<string, ChannelStatistics>

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

/** Every `count`-th of some mini-batches, from number `index` on: what one of `count` threads works on. */
type Turn = { readonly index: number; readonly count: number }

const isTurn = ({ index, count }: Turn, batch: number) => batch % count === index

/** Batch-norm statistics of `count` unchanged mini-batches of a share of the training images, of each by itself. */
async function observeStatistics(
  evaluated: Evaluated,
  { share, batchSize, count, seed, turn }: { share: Uint32Array; batchSize: number; count: number; seed: string; turn: Turn },
): Promise<Observed[]> {
  const batches = Array.from({ length: count }, (_, i) => i).filter((i) => isTurn(turn, i))
  const requests = batches.map((i) => ({ split: 'train' as const, indices: batchIndices(share, batchSize, i, seed) }))
  const observed: Observed[] = []
  await forEachBatch(evaluated, requests, async (images) => {
    observed.push(await batchStatistics(evaluated.graph, evaluated.weights, images))
  })
  return observed
}

/** What the score on these images of a split is made of. */
async function sumScore(
  evaluated: Evaluated,
  {
    split,
    indices,
    batchSize,
    statistics,
    turn,
  }: { split: BatchRequest['split']; indices: Uint32Array; batchSize: number; statistics: Statistics; turn: Turn },
): Promise<ScoreSums> {
  const { graph, weights } = evaluated
  const batches = Array.from({ length: Math.ceil(indices.length / batchSize) }, (_, i) => i).filter((i) => isTurn(turn, i))
  const requests = batches.map((i) => ({ split, indices: indices.subarray(i * batchSize, (i + 1) * batchSize) }))
  const tally = createTally()
  await forEachBatch(evaluated, requests, async (images, labels) => {
    tally.add(await predict({ graph, weights, images, statistics }), labels)
  })
  return tally.sums()
}

export { type Observed, observeStatistics, type Statistics, sumScore, withImages }
