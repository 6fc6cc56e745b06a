// Runs a network for prediction only, on TensorFlow.js's fused operations: what latency is measured on, and what a
// derived network is served with. Works for a single operation's layers as well.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph, Shape } from '../../search-space/layer-graph.ts'
import { foldBatchNorm, type WeightValues } from './fold-batch-norm.ts'
import { type ChannelStatistics, ruleOf } from './layers/index.ts'

type InferenceOptions = {
  readonly graph: LayerGraph
  /** Values by weight key, row-major; copied. */
  readonly weights: WeightValues
  /** By gamma key; without them mean 0 and variance 1, good enough to measure time. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
}

type Inference = {
  /** Without the batch dimension. */
  readonly inputShape: Shape
  /** [batch, h, w, c] to the graph's output, [batch, ...its shape]; the result is the caller's to dispose. */
  run(images: tf.Tensor4D): tf.Tensor4D
  dispose(): void
}

/** Folds and uploads a graph for the active backend. */
function createInference({ graph, weights, statistics }: InferenceOptions): Inference {
  const network = foldBatchNorm(graph, weights, statistics)
  const prepared = network.steps.map((step) => ({ step, ...ruleOf(step).prepare(step) }))
  const lastReader = new Map<string, number>()
  for (const [index, { step }] of prepared.entries()) {
    for (const id of step.inputs) lastReader.set(id, index)
  }
  return {
    inputShape: network.inputShape,
    run(images) {
      return tf.tidy(() => {
        const values = new Map<string, tf.Tensor4D>([[network.input, images]])
        for (const [index, { step, run }] of prepared.entries()) {
          values.set(step.id, run(step.inputs.map((id) => values.get(id) as tf.Tensor4D)))
          for (const id of new Set(step.inputs)) {
            // Freed as early as a deployed network would free them: peak memory is part of what is measured.
            const done = lastReader.get(id) === index && id !== network.output && id !== network.input
            if (done) values.get(id)?.dispose()
          }
        }
        // A clone where the graph ends in its own input: the caller disposes the result.
        return network.output === network.input ? tf.clone(images) : (values.get(network.output) as tf.Tensor4D)
      })
    },
    dispose() {
      for (const { owned = [] } of prepared) tf.dispose([...owned])
    },
  }
}

export { createInference, type Inference, type InferenceOptions }
