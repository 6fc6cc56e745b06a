// What a network computes on its way: outputs of its layers, the gradients by them, and the gradient by its images. Batch-norms use the
// statistics of the batch, and are steps of their own, fused with the ReLU behind them if there is one; weights are frozen.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { type Holdings, withHoldings } from './holdings.ts'
import { forward, type PassContext, reverse } from './passes.ts'
import { compilePlan } from './plan.ts'
import { readValues } from './read-values.ts'
import { createSlices } from './slices.ts'
import type { PrimitiveStep } from './step.ts'
import { type Batch, lossOf } from './batch-pass.ts'
import type { Weights } from './weights.ts'

type Network = { readonly graph: LayerGraph; readonly weights: Weights }

/** Numbers made of what a step has computed, row-major. */
type Collected = { readonly step: PrimitiveStep; readonly values: Float32Array }

const NO_SINK = { weight: () => undefined, gates: () => undefined }

function contextOf({ weights }: Network, holdings: Holdings, more: Pick<PassContext, 'mode' | 'watch'>): PassContext {
  return { slices: createSlices(weights, holdings), holdings, ...more }
}

/** Keeps tensors until the pass is over, and reads them then. */
function createCollector(holdings: Holdings) {
  const found: { readonly step: PrimitiveStep; readonly tensor: tf.Tensor }[] = []
  return {
    keep(step: PrimitiveStep, make: () => tf.Tensor | undefined) {
      const tensor = tf.tidy(make as () => tf.Tensor)
      if (tensor) found.push({ step, tensor: holdings.hold(tensor) })
    },
    async read(): Promise<Collected[]> {
      const collected: Collected[] = []
      for (const { step, tensor } of found) collected.push({ step, values: (await readValues(tensor)).slice() })
      return collected
    },
  }
}

/** @param collect what is wanted of a layer's output [batch, h, w, c]; undefined for nothing. Runs within tf.tidy. */
async function collectOutputs(
  network: Network & Pick<Batch, 'images'>,
  collect: (step: PrimitiveStep, output: tf.Tensor) => tf.Tensor | undefined,
): Promise<Collected[]> {
  return withHoldings(async (holdings) => {
    const { keep, read } = createCollector(holdings)
    const output = (step: PrimitiveStep, tensor: tf.Tensor) => keep(step, () => collect(step, tensor))
    const context = contextOf(network, holdings, { mode: 'none', watch: { output } })
    forward(compilePlan(network.graph, { mergeNorms: false }), holdings.borrow(network.images), false, context)
    return read()
  })
}

/**
 * Of the mean cross-entropy. Layers that no gradient reaches are left out.
 *
 * @param wants which steps are looked at: their outputs stay in memory until the gradient is there
 * @param collect what is wanted of a layer's output and of the gradient by it, of the same shape. Runs within tf.tidy.
 */
async function collectGradients(
  network: Network & Batch,
  wants: (step: PrimitiveStep) => boolean,
  collect: (step: PrimitiveStep, output: tf.Tensor, gradient: tf.Tensor) => tf.Tensor,
): Promise<Collected[]> {
  return withHoldings(async (holdings) => {
    const { keep, read } = createCollector(holdings)
    const outputs = new Map<PrimitiveStep, tf.Tensor>()
    const watch = {
      output(step: PrimitiveStep, output: tf.Tensor) {
        if (wants(step)) outputs.set(step, holdings.hold(output))
      },
      gradient(step: PrimitiveStep, gradient: tf.Tensor) {
        const output = outputs.get(step)
        if (!output) return
        keep(step, () => collect(step, output, gradient))
        holdings.release(output)
      },
    }
    const context = contextOf(network, holdings, { mode: 'inputs', watch })
    const trace = forward(compilePlan(network.graph, { mergeNorms: false }), holdings.borrow(network.images), true, context)
    const { metrics, dOutput } = lossOf(trace.output, network.labels, { labelSmoothing: 0 })
    metrics.dispose()
    reverse(trace, holdings.hold(dOutput), NO_SINK, context)
    return read()
  })
}

/** Gradient of the sum of all logits by the images: row-major, of their shape. */
async function inputGradient(network: Network & Pick<Batch, 'images'>): Promise<Float32Array> {
  const { graph, images } = network
  return withHoldings(async (holdings) => {
    const context = contextOf(network, holdings, { mode: 'inputs' })
    const trace = forward(compilePlan(graph), holdings.borrow(images), true, context)
    const ones = holdings.hold(tf.onesLike(trace.output))
    const { dInput } = reverse(trace, ones, NO_SINK, context)
    return dInput ? (await readValues(dInput)).slice() : new Float32Array(images.size)
  })
}

export { type Collected, collectGradients, collectOutputs, inputGradient }
