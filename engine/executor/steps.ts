// The executor's steps: train the weights of a path, differentiate gates with frozen weights, evaluate, predict.
// Each awaits the device once, when it reads its few numbers back.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { isWhole } from '../../search-space/weight-slices.ts'
import { softmaxCrossEntropy } from '../kernels/operations.ts'
import { alphaGradients } from './combined.ts'
import { distil, type Distillation } from './distillation.ts'
import type { Dropout } from './dropout.ts'
import type { GateDots } from './gates.ts'
import { type Holdings, withHoldings } from './holdings.ts'
import type { ChannelStatistics } from './layers/index.ts'
import { forward, type PassContext, reverse } from './passes.ts'
import { compilePlan } from './plan.ts'
import { readValues } from './read-values.ts'
import { createSlices, padToWhole } from './slices.ts'
import type { Weights } from './weights.ts'

type Batch = {
  /** [batch, height, width, channels]; stays the caller's. */
  readonly images: tf.Tensor4D
  /** One class index per image. */
  readonly labels: Int32Array
}

/** Images that are each a mixture of two: the loss is share · (loss of `labels`) + (1 − share) · (loss of these labels). */
type MixedLabels = { readonly labels: Int32Array; readonly share: number }

type StepInput = Batch & {
  readonly graph: LayerGraph
  readonly weights: Weights
  /**
   * Micro-batches that the batch is split into, so that activations of one only are in memory; default 1. The gradients
   * are those of the mean loss over the whole batch, but each batch-norm sees the moments of its micro-batch alone.
   */
  readonly accumulate?: number
  /**
   * Share of a larger batch that these images are, above 0 to 1: gradients are those of their part of its mean loss. The loss
   * that is returned stays the mean over these images. Default 1.
   */
  readonly share?: number
}

type LossResult = {
  /** Mean cross-entropy over the batch. */
  readonly loss: number
  /** Images whose largest logit is their label. */
  readonly correct: number
}

type StepResult = LossResult & {
  /** Most bytes of tensors that the step had made at one time: activations and gradients, not weights and images. */
  readonly peakBytes: number
  /** Of every mixed layer that is a softmax of its branches (DARTS); otherwise empty. */
  readonly alphaGradients: readonly GateGradient[]
}

type TrainInput = StepInput & {
  /** Share of the target spread evenly over all classes; default 0. */
  readonly labelSmoothing?: number
  /** Before the classifier; default: none. Micro-batches draw one after the other. */
  readonly dropout?: Dropout
  /** Default: none is mixed with another. */
  readonly mixed?: MixedLabels
  /** A teacher's part in the loss; default: labels alone. */
  readonly distillation?: Distillation
}

/** The gradients are the caller's to dispose; `Sgd.apply` does. */
type TrainResult = StepResult & { readonly gradients: Map<string, tf.Tensor> }

type GateGradient = {
  readonly block: number
  /** Operation index of each branch, in the mixed layer's order. */
  readonly operations: readonly number[]
  /** dLoss/dgate of each branch, in the same order. */
  readonly gradients: readonly number[]
}

type GateResult = StepResult & { readonly gateGradients: readonly GateGradient[] }

type EvaluateInput = StepInput & {
  /** By gamma key; without them batch-norms use the batch's own statistics. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
}

type LabelLoss = ReturnType<typeof softmaxCrossEntropy>

/** Linear in the target, so that the loss of a mixture of labels is the mixture of their losses; hits are those of the first. */
function mixLosses(own: LabelLoss, other: LabelLoss, share: number): LabelLoss {
  const weighted = (one: tf.Tensor, two: tf.Tensor) => tf.add(tf.mul(one, share), tf.mul(two, 1 - share))
  const [loss, correct] = [tf.slice(weighted(own.metrics, other.metrics), 0, 1), tf.slice(own.metrics, 1, 1)]
  return { metrics: tf.concat([loss, correct]) as tf.Tensor1D, dlogits: weighted(own.dlogits, other.dlogits) as tf.Tensor2D }
}

/** Loss of the network's output; `metrics` is [loss, correct], all of it the caller's. */
function lossOf(output: tf.Tensor, labels: Int32Array, { labelSmoothing, mixed, distillation }: Omit<StepSettings, 'mode'>) {
  return tf.tidy(() => {
    const batch = output.shape[0] as number
    const logits = tf.reshape(output, [batch, output.size / batch])
    const lossOfLabels = (of: Int32Array) => softmaxCrossEntropy(logits, tf.tensor1d(of, 'int32'), labelSmoothing)
    const own = lossOfLabels(labels)
    const fromLabels = mixed ? mixLosses(own, lossOfLabels(mixed.labels), mixed.share) : own
    const { metrics, dlogits } = distillation ? distil(logits, fromLabels, distillation) : fromLabels
    return { metrics, dOutput: tf.reshape(dlogits, output.shape) }
  })
}

function lossResult([loss, correct]: ArrayLike<number> & Iterable<number>): LossResult {
  return { loss: loss as number, correct: Math.round(correct as number) }
}

/** Two gradients of one weight; of different parts of it, they are parts of the whole. */
function addParts(key: string, weights: Weights, one: tf.Tensor, other: tf.Tensor): tf.Tensor {
  if (isWhole(one.shape, other.shape)) return tf.add(one, other)
  const { shape } = weights.spec(key)
  return tf.tidy(() => tf.add(padToWhole(key, one, shape), padToWhole(key, other, shape)))
}

/** What the reverse pass finds: sums of weight gradients, and dots of gates in the blocks' order, all held. */
function createSink(weights: Weights, holdings: Holdings) {
  const gradients = new Map<string, tf.Tensor>()
  const blocks: GateDots[] = []
  return {
    gradients,
    blocks,
    weight(key: string, gradient: tf.Tensor) {
      const before = gradients.get(key)
      gradients.set(key, before ? holdings.hold(addParts(key, weights, before, gradient)) : holdings.hold(gradient))
      if (!before) return
      holdings.release(before)
      gradient.dispose()
    },
    gates(block: GateDots) {
      blocks.unshift(block)
      for (const tensor of block.dots) if (tensor) holdings.hold(tensor)
    },
  }
}

/** Reads the loss and all dots back in one go: one wait for the device instead of one per gate. */
async function readNumbers(metrics: tf.Tensor, blocks: readonly GateDots[], holdings: Holdings) {
  const dots = blocks.flatMap((block) => block.dots.filter((tensor) => tensor !== undefined))
  const all = dots.length > 0 ? holdings.hold(tf.concat([metrics, ...dots])) : metrics
  const values = (await readValues(all)).values()
  const next = () => values.next().value as number
  const result = lossResult([next(), next()])
  const read = blocks.map(({ block, operations, dots: branches, probabilities }) => {
    const gradients = branches.map((tensor) => (tensor ? next() : 0))
    return { block, operations, gradients, probabilities }
  })
  const gateGradients: GateGradient[] = []
  const alphas: GateGradient[] = []
  for (const { block, operations, gradients, probabilities } of read) {
    if (probabilities) alphas.push({ block, operations, gradients: alphaGradients(probabilities, gradients) })
    else gateGradients.push({ block, operations, gradients })
  }
  return { ...result, gateGradients: addPlaces(gateGradients), alphaGradients: addPlaces(alphas) }
}

/** A decision may act in many places: their gradients add up. All of them have the same branches, in one order. Sorted by decision. */
function addPlaces(places: readonly GateGradient[]): GateGradient[] {
  const sums = new Map<number, GateGradient>()
  for (const place of places) {
    const sum = sums.get(place.block)
    const gradients = sum ? sum.gradients.map((value, branch) => value + (place.gradients[branch] as number)) : place.gradients
    sums.set(place.block, { ...place, gradients })
  }
  return [...sums.values()].toSorted((a, b) => a.block - b.block)
}

type StepSettings = Pick<TrainInput, 'dropout' | 'distillation' | 'mixed'> & {
  readonly mode: 'weights' | 'gates'
  readonly labelSmoothing: number
}

/** Forward and reverse of one (micro-)batch; `share` of the whole batch's mean loss. */
async function runStep(
  { graph, weights, images, labels }: StepInput,
  sink: ReturnType<typeof createSink>,
  settings: StepSettings & { readonly share: number },
  holdings: Holdings,
) {
  const { mode, dropout } = settings
  const context: PassContext = { slices: createSlices(weights, holdings), holdings, mode, ...(dropout && { dropout }) }
  const trace = forward(compilePlan(graph), holdings.borrow(images), false, context)
  const { metrics, dOutput } = lossOf(trace.output, labels, settings)
  holdings.release(trace.output)
  holdings.hold(metrics)
  holdings.hold(dOutput)
  let gradient = dOutput
  if (settings.share !== 1) {
    gradient = holdings.hold(tf.tidy(() => tf.mul(dOutput, settings.share)))
    holdings.release(dOutput)
  }
  const first = sink.blocks.length
  reverse(trace, gradient, sink, context)
  const numbers = await readNumbers(metrics, sink.blocks.slice(0, sink.blocks.length - first), holdings)
  holdings.release(metrics)
  return numbers
}

/** First image of each of `count` parts of a batch, and the end: sizes differ by one at most. */
function partStarts(batch: number, count: number): number[] {
  return Array.from({ length: count + 1 }, (_, index) => Math.round((index * batch) / count))
}

function microBatches(batch: number, count: number): number[] {
  if (!Number.isInteger(count) || count < 1 || count > batch) {
    throw new RangeError(`expected accumulate to be a whole number from 1 to the batch's ${batch} images, got ${count}`)
  }
  return partStarts(batch, count)
}

function addGradients(before: readonly GateGradient[], more: readonly GateGradient[]): readonly GateGradient[] {
  if (before.length === 0) return more
  return before.map((block, index) => ({
    ...block,
    gradients: block.gradients.map((value, position) => value + (more[index]?.gradients[position] ?? 0)),
  }))
}

type Numbers = LossResult & { readonly gateGradients: readonly GateGradient[]; readonly alphaGradients: readonly GateGradient[] }

/** Forward and reverse of a whole batch, micro-batch by micro-batch. */
async function runBatch(
  input: StepInput,
  sink: ReturnType<typeof createSink>,
  settings: StepSettings,
  holdings: Holdings,
): Promise<Numbers> {
  const { images, labels, accumulate = 1, share: outerShare = 1 } = input
  const { distillation, mixed } = settings
  const starts = microBatches(labels.length, accumulate)
  let total: Numbers = { loss: 0, correct: 0, gateGradients: [], alphaGradients: [] }
  for (const [index, start] of starts.slice(0, -1).entries()) {
    const end = starts[index + 1] as number
    const share = (end - start) / labels.length
    const part = share === 1 ? images : holdings.hold(tf.slice4d(images, [start, 0, 0, 0], [end - start, -1, -1, -1]))
    const batch = { ...input, images: part, labels: labels.subarray(start, end) }
    const teacherLogits =
      distillation && (share === 1 ? distillation.teacherLogits : tf.slice2d(distillation.teacherLogits, [start, 0], [end - start, -1]))
    const taught = distillation && teacherLogits && { distillation: { ...distillation, teacherLogits } }
    const labelled = mixed && { mixed: { ...mixed, labels: mixed.labels.subarray(start, end) } }
    const numbers = await runStep(batch, sink, { ...settings, ...taught, ...labelled, share: share * outerShare }, holdings)
    if (part !== images) holdings.handOver(part).dispose()
    if (teacherLogits !== distillation?.teacherLogits) teacherLogits?.dispose()
    total = {
      loss: total.loss + numbers.loss * share,
      correct: total.correct + numbers.correct,
      gateGradients: addGradients(total.gateGradients, numbers.gateGradients),
      alphaGradients: addGradients(total.alphaGradients, numbers.alphaGradients),
    }
  }
  return total
}

/** Loss and weight gradients of one batch; a mixed layer with gates counts as its active branch. */
async function trainStep(input: TrainInput): Promise<TrainResult> {
  const { labelSmoothing = 0, dropout, mixed, distillation } = input
  return withHoldings(async (holdings) => {
    const sink = createSink(input.weights, holdings)
    const settings = { mode: 'weights', labelSmoothing, dropout, mixed, distillation } as const
    const { loss, correct, alphaGradients: alphas } = await runBatch(input, sink, settings, holdings)
    for (const gradient of sink.gradients.values()) holdings.handOver(gradient)
    return { loss, correct, alphaGradients: alphas, gradients: sink.gradients, peakBytes: holdings.peakBytes() }
  })
}

/** Loss and dLoss/dgate of every branch of every decision, weights frozen, no label smoothing. */
async function gateStep(input: StepInput): Promise<GateResult> {
  return withHoldings(async (holdings) => {
    const numbers = await runBatch(input, createSink(input.weights, holdings), { mode: 'gates', labelSmoothing: 0 }, holdings)
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

export {
  type Batch,
  evaluate,
  type EvaluateInput,
  type GateGradient,
  type GateResult,
  gateStep,
  type LossResult,
  partStarts,
  predict,
  type StepInput,
  type TrainInput,
  type TrainResult,
  trainStep,
}
