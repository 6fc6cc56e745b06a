// How good networks are with the shared weights of a supernet, on the first images of the validation share: with the statistics of each
// mini-batch in batch-norms, as strategies see them, and with statistics re-estimated for each network on training images (SPOS).

import { setImmediate as nextTurn } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import { type Batch, type BatchSource, type Dataset } from '../engine/datasets/index.ts'
import { averageStatistics, batchStatistics, type ChannelStatistics, evaluate } from '../engine/executor/index.ts'
import { reducedResolution, shrink } from '../engine/training/reduced-resolution.ts'
import { createTaskData } from '../engine/training/task-data.ts'
import type { Trainer } from '../engine/training/trainer.ts'
import type { SearchConfig } from '../protocol/index.ts'
import type { LayerGraph, Path, Space } from '../search-space/index.ts'

type SharedAccuracy = { readonly accuracy: number; readonly loss: number }
type BothAccuracies = { readonly batch: SharedAccuracy; readonly reestimated?: SharedAccuracy }

type EvaluatorOptions = {
  readonly trainer: Pick<Trainer, 'weights'>
  readonly dataset: Dataset
  readonly source: BatchSource
  readonly space: Space
  readonly config: SearchConfig
  /** Of the validation share; rounded down to whole mini-batches, one at least. */
  readonly images: number
  /** Mini-batches of the weight share, not augmented; 0: nothing is re-estimated. */
  readonly statisticsBatches: number
}

type ImageBatch = { readonly images: tf.Tensor4D; readonly labels: Int32Array }

type Evaluator = {
  evaluate(path: Path): Promise<BothAccuracies>
  dispose(): void
}

/** Mini-batches stay on the device: every network sees the same ones. */
async function createEvaluator(options: EvaluatorOptions): Promise<Evaluator> {
  const { trainer, dataset, source, space, config, images: wanted, statisticsBatches } = options
  const { weights } = trainer
  const { batchSize } = config.training
  const { shares } = createTaskData(dataset, config)
  const reduced = reducedResolution(config)
  const divisor = reduced?.judgedDivisor ?? 1
  const judged = reduced && divisor > 1 ? reduced.small : space
  const load = async (share: Uint32Array, count: number): Promise<ImageBatch[]> => {
    const batches: ImageBatch[] = []
    const requests = Array.from({ length: count }, (_, i) => ({
      split: 'train' as const,
      indices: share.subarray(i * batchSize, (i + 1) * batchSize),
    }))
    for await (const { images, labels } of source.batches(requests) as AsyncIterable<Batch>) {
      batches.push({ images: shrink(tf.tensor4d(images, [labels.length, ...space.input]), divisor), labels })
    }
    return batches
  }
  const held = await load(shares.validation, Math.max(1, Math.floor(Math.min(wanted, shares.validation.length) / batchSize)))
  const seen = await load(shares.weights, statisticsBatches)

  const mean = async (graph: LayerGraph, statistics?: ReadonlyMap<string, ChannelStatistics>): Promise<SharedAccuracy> => {
    const sum = { accuracy: 0, loss: 0 }
    for (const batch of held) {
      const { loss, correct } = await evaluate({ graph, weights, ...batch, ...(statistics && { statistics }) })
      sum.accuracy += correct / batchSize / held.length
      sum.loss += loss / held.length
    }
    return sum
  }

  return {
    async evaluate(path) {
      // Signals are heard between two networks: what computes on this thread leaves no time for them otherwise.
      await nextTurn()
      const graph = judged.network(path)
      const batch = await mean(graph)
      if (seen.length === 0) return { batch }
      const observed = []
      for (const { images } of seen) observed.push(await batchStatistics(graph, weights, images))
      return { batch, reestimated: await mean(graph, averageStatistics(observed)) }
    },
    dispose() {
      for (const { images } of [...held, ...seen]) images.dispose()
    },
  }
}

export { type BothAccuracies, createEvaluator, type Evaluator }
