// Batch-norm statistics of a network on given batches. A search trains with batch statistics only; a derived network
// gets running ones, re-estimated as the average over some batches of training data.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { withHoldings } from './holdings.ts'
import type { ChannelStatistics } from './layers/index.ts'
import { forward, type PassContext } from './passes.ts'
import { compilePlan } from './plan.ts'
import { createSlices } from './slices.ts'
import { readValues } from './read-values.ts'
import type { Weights } from './weights.ts'

/** Mean and biased variance of every batch-norm's input on one batch, by gamma key. */
async function batchStatistics(graph: LayerGraph, weights: Weights, images: tf.Tensor4D): Promise<Map<string, ChannelStatistics>> {
  return withHoldings(async (holdings) => {
    const observed: [key: string, mean: tf.Tensor, variance: tf.Tensor][] = []
    const observe = (gamma: string, mean: tf.Tensor, variance: tf.Tensor) => {
      observed.push([gamma, holdings.hold(tf.clone(mean)), holdings.hold(tf.clone(variance))])
    }
    const context: PassContext = { slices: createSlices(weights, holdings), holdings, mode: 'none', observe }
    forward(compilePlan(graph), holdings.borrow(images), false, context)
    const statistics = new Map<string, ChannelStatistics>()
    for (const [key, mean, variance] of observed) {
      statistics.set(key, { mean: await readValues(mean), variance: await readValues(variance) })
    }
    return statistics
  })
}

/** The plain average of several batches' statistics; all must come from one network. */
function averageStatistics(batches: readonly ReadonlyMap<string, ChannelStatistics>[]): Map<string, ChannelStatistics> {
  const average = new Map<string, ChannelStatistics>()
  const share = 1 / batches.length
  for (const [key, { mean, variance }] of batches[0] ?? []) {
    const total = { mean: new Float32Array(mean.length), variance: new Float32Array(variance.length) }
    for (const batch of batches) {
      const part = batch.get(key)
      if (!part) throw new Error(`statistics of ${key} are missing in one of the batches`)
      for (let channel = 0; channel < mean.length; channel++) {
        total.mean[channel] = (total.mean[channel] as number) + (part.mean[channel] as number) * share
        total.variance[channel] = (total.variance[channel] as number) + (part.variance[channel] as number) * share
      }
    }
    average.set(key, total)
  }
  return average
}

export { averageStatistics, batchStatistics }
