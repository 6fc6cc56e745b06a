// The executor's steps: train the weights of a path, differentiate gates with frozen weights, evaluate, predict.
// Each awaits the device once, when it reads its few numbers back.

import type * as tf from '@tensorflow/tfjs-core'

import { lossOf, type MixedLabels, runBatch, type StepInput } from './batch-pass.ts'
import type { Distillation } from './distillation.ts'
import type { Dropout } from './dropout.ts'
import { createSink, type GateGradient, lossResult, type LossResult } from './gradient-sink.ts'
import { withHoldings } from './holdings.ts'
import type { ChannelStatistics } from './layers/index.ts'
import { forward, type PassContext } from './passes.ts'
import { compilePlan } from './plan.ts'
import { readValues } from './read-values.ts'
import { createSlices } from './slices.ts'

type StepResult = LossResult & {
  /** Most bytes of tensors that the step had made at one time: activations and gradients, not weights and images. */
  readonly peakBytes: number
  /** dLoss/dweight of every mixed layer that is a weighted sum of its branches (DARTS), where they are wanted; otherwise empty. */
  readonly mixtureGradients: readonly GateGradient[]
}

type TrainInput = StepInput & {
  /** Share of the target spread evenly over all classes; default 0. */
  readonly labelSmoothing?: number
  /** Whether gradients by the weights of weighted sums are wanted as well; default false. */
  readonly wantsMixture?: boolean
  /** Before the classifier; default: none. Micro-batches draw one after the other. */
  readonly dropout?: Dropout
  /** Default: none is mixed with another. */
  readonly mixed?: MixedLabels
  /** A teacher's part in the loss; default: labels alone. */
  readonly distillation?: Distillation
}

/** The gradients are the caller's to dispose; `Sgd.apply` does. */
type TrainResult = StepResult & { readonly gradients: Map<string, tf.Tensor> }

type GateInput = StepInput & Pick<TrainInput, 'labelSmoothing'>

type GateResult = StepResult & { readonly gateGradients: readonly GateGradient[] }

type EvaluateInput = StepInput & {
  /** By gamma key; without them batch-norms use the batch's own statistics. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
}

/** Loss and weight gradients of one batch; a mixed layer with gates counts as its active branch. */
async function trainStep(input: TrainInput): Promise<TrainResult> {
  const { labelSmoothing = 0, dropout, mixed, distillation, wantsMixture = false } = input
  return withHoldings(async (holdings) => {
    const sink = createSink(input.weights, holdings)
    const settings = { mode: 'weights', labelSmoothing, dropout, mixed, distillation, wantsMixture } as const
    const { loss, correct, mixtureGradients } = await runBatch(input, sink, settings, holdings)
    for (const gradient of sink.gradients.values()) holdings.handOver(gradient)
    return { loss, correct, mixtureGradients, gradients: sink.gradients, peakBytes: holdings.peakBytes() }
  })
}

/** Loss and dLoss/dgate, or dLoss/dweight of weighted sums, of every branch of every decision, weights frozen. */
async function gateStep({ labelSmoothing = 0, ...input }: GateInput): Promise<GateResult> {
  return withHoldings(async (holdings) => {
    const numbers = await runBatch(input, createSink(input.weights, holdings), { mode: 'gates', labelSmoothing }, holdings)
    return { ...numbers, peakBytes: holdings.peakBytes() }
  })
}

/** Plain cross-entropy and hits of one batch. */
async function evaluate(input: EvaluateInput): Promise<LossResult> {
  const { graph, weights, images, labels, statistics } = input
  return withHoldings(async (holdings) => {
    const context: PassContext = { slices: createSlices(weights, holdings), holdings, mode: 'none', statistics }
    const { output } = forward(compilePlan(graph), holdings.borrow(images), false, context)
    const { metrics, dOutput } = lossOf(output, labels, { labelSmoothing: 0 })
    holdings.hold(metrics)
    dOutput.dispose()
    return lossResult(await readValues(metrics))
  })
}

/** What the network says before its softmax: row-major [images, classes], a copy. */
async function predict({ graph, weights, images, statistics }: Omit<EvaluateInput, 'labels'>): Promise<Float32Array> {
  return withHoldings(async (holdings) => {
    const context: PassContext = { slices: createSlices(weights, holdings), holdings, mode: 'none', statistics }
    const { output } = forward(compilePlan(graph), holdings.borrow(images), false, context)
    return (await readValues(output)).slice()
  })
}

export { evaluate, type EvaluateInput, type GateInput, type GateResult, gateStep, predict, type TrainInput, type TrainResult, trainStep }
