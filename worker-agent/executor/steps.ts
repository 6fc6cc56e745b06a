// The executor's steps: train the weights of a path, differentiate gates with frozen weights, evaluate.
// Each awaits the device once, when it reads its few numbers back.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { softmaxCrossEntropy } from '../kernels/operations.ts'
import type { GateDots } from './gates.ts'
import { withHoldings } from './holdings.ts'
import type { ChannelStatistics } from './layers.ts'
import { forward, type PassContext, reverse } from './passes.ts'
import { compilePlan } from './plan.ts'
import { readValues } from './read-values.ts'
import type { Weights } from './weights.ts'

type Batch = {
  /** [batch, height, width, channels]; stays the caller's. */
  readonly images: tf.Tensor4D
  /** One class index per image. */
  readonly labels: Int32Array
}

type StepInput = Batch & { readonly graph: LayerGraph; readonly weights: Weights }

type LossResult = {
  /** Mean cross-entropy over the batch. */
  readonly loss: number
  /** Images whose largest logit is their label. */
  readonly correct: number
}

type TrainInput = StepInput & {
  /** Share of the target spread evenly over all classes; default 0. */
  readonly labelSmoothing?: number
}

/** The gradients are the caller's to dispose; `Sgd.apply` does. */
type TrainResult = LossResult & { readonly gradients: Map<string, tf.Tensor> }

type GateGradient = {
  readonly block: number
  /** Operation index of each branch, in the mixed layer's order. */
  readonly operations: readonly number[]
  /** dLoss/dgate of each branch, in the same order. */
  readonly gradients: readonly number[]
}

type GateResult = LossResult & { readonly gateGradients: readonly GateGradient[] }

type EvaluateInput = StepInput & {
  /** By gamma key; without them batch-norms use the batch's own statistics. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
}

/** Loss of the network's output; `metrics` is [loss, correct], all of it the caller's. */
function lossOf(output: tf.Tensor, labels: Int32Array, labelSmoothing: number) {
  return tf.tidy(() => {
    const batch = output.shape[0] as number
    const logits = tf.reshape(output, [batch, output.size / batch])
    const { metrics, dlogits } = softmaxCrossEntropy(logits, tf.tensor1d(labels, 'int32'), labelSmoothing)
    return { metrics, dOutput: tf.reshape(dlogits, output.shape) }
  })
}

function lossResult([loss, correct]: ArrayLike<number> & Iterable<number>): LossResult {
  return { loss: loss as number, correct: Math.round(correct as number) }
}

/** Loss and weight gradients of one batch; a mixed layer counts as its active branch. */
async function trainStep(input: TrainInput): Promise<TrainResult> {
  const { graph, weights, images, labels, labelSmoothing = 0 } = input
  return withHoldings(async (holdings) => {
    const context: PassContext = { weights, holdings, mode: 'weights' }
    const trace = forward(compilePlan(graph), holdings.borrow(images), false, context)
    const { metrics, dOutput } = lossOf(trace.output, labels, labelSmoothing)
    holdings.release(trace.output)
    holdings.hold(metrics)
    holdings.hold(dOutput)
    const gradients = new Map<string, tf.Tensor>()
    const addGradient = (key: string, gradient: tf.Tensor) => {
      const before = gradients.get(key)
      gradients.set(key, before ? holdings.hold(tf.add(before, gradient)) : holdings.hold(gradient))
      if (!before) return
      holdings.release(before)
      gradient.dispose()
    }
    reverse(trace, dOutput, { weight: addGradient, gates: () => {} }, context)
    const result = lossResult(await readValues(metrics))
    for (const gradient of gradients.values()) holdings.handOver(gradient)
    return { ...result, gradients }
  })
}

/** Loss and dLoss/dgate of every branch of every mixed layer, weights frozen, no label smoothing. */
async function gateStep({ graph, weights, images, labels }: StepInput): Promise<GateResult> {
  return withHoldings(async (holdings) => {
    const context: PassContext = { weights, holdings, mode: 'gates' }
    const trace = forward(compilePlan(graph), holdings.borrow(images), false, context)
    const { metrics, dOutput } = lossOf(trace.output, labels, 0)
    holdings.release(trace.output)
    holdings.hold(metrics)
    holdings.hold(dOutput)
    const blocks: GateDots[] = []
    const collect = (block: GateDots) => {
      blocks.unshift(block)
      for (const tensor of block.dots) if (tensor) holdings.hold(tensor)
    }
    reverse(trace, dOutput, { weight: () => {}, gates: collect }, context)
    const dots = blocks.flatMap((block) => block.dots.filter((tensor) => tensor !== undefined))
    // One tensor for all the numbers: one wait for the device instead of one per gate.
    const all = holdings.hold(tf.concat([metrics, ...dots]))
    const values = (await readValues(all)).values()
    const result = lossResult([values.next().value, values.next().value] as number[])
    const gateGradients = blocks.map(({ block, operations, dots: branches }) => ({
      block,
      operations,
      gradients: branches.map((tensor) => (tensor ? (values.next().value as number) : 0)),
    }))
    return { ...result, gateGradients }
  })
}

/** Plain cross-entropy and hits of one batch. */
async function evaluate(input: EvaluateInput): Promise<LossResult> {
  const { graph, weights, images, labels, statistics } = input
  return withHoldings(async (holdings) => {
    const context: PassContext = { weights, holdings, mode: 'none', statistics }
    const { output } = forward(compilePlan(graph), holdings.borrow(images), false, context)
    const { metrics, dOutput } = lossOf(output, labels, 0)
    holdings.hold(metrics)
    dOutput.dispose()
    return lossResult(await readValues(metrics))
  })
}

export {
  type Batch,
  evaluate,
  type EvaluateInput,
  type GateGradient,
  type GateResult,
  gateStep,
  type LossResult,
  type StepInput,
  type TrainInput,
  type TrainResult,
  trainStep,
}
