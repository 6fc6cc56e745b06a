// Forward and reverse of one batch, in as many parts as are wanted: what every step is made of.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { softmaxCrossEntropy } from '../kernels/operations.ts'
import { distil, type Distillation } from './distillation.ts'
import type { Dropout } from './dropout.ts'
import { addGradients, type Numbers, readNumbers, type Sink } from './gradient-sink.ts'
import type { Holdings } from './holdings.ts'
import { forward, type PassContext, reverse } from './passes.ts'
import { compilePlan } from './plan.ts'
import { createSlices } from './slices.ts'
import type { Weights } from './weights.ts'

type Batch = {
  /** [batch, height, width, channels]; stays the caller's. */
  readonly images: tf.Tensor4D
  /** One class index per image. */
  readonly labels: Int32Array
}

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

/** Images that are each a mixture of two: the loss is share · (loss of `labels`) + (1 − share) · (loss of these labels). */
type MixedLabels = { readonly labels: Int32Array; readonly share: number }

type StepSettings = {
  /** Before the classifier; default: none. Micro-batches draw one after the other. */
  readonly dropout?: Dropout | undefined
  /** Default: none is mixed with another. */
  readonly mixed?: MixedLabels | undefined
  /** A teacher's part in the loss; default: labels alone. */
  readonly distillation?: Distillation | undefined
  readonly mode: 'weights' | 'gates'
  readonly labelSmoothing: number
  /** Whether gradients by the weights of weighted sums are wanted; default: with `gates`. */
  readonly wantsMixture?: boolean
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

/** Forward and reverse of one (micro-)batch; `share` of the whole batch's mean loss. */
async function runStep(
  { graph, weights, images, labels }: StepInput,
  sink: Sink,
  settings: StepSettings & { readonly share: number },
  holdings: Holdings,
) {
  const { mode, dropout, wantsMixture = mode === 'gates' } = settings
  const context: PassContext = { slices: createSlices(weights, holdings), holdings, mode, wantsMixture, ...(dropout && { dropout }) }
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

/** Forward and reverse of a whole batch, micro-batch by micro-batch. */
async function runBatch(input: StepInput, sink: Sink, settings: StepSettings, holdings: Holdings): Promise<Numbers> {
  const { images, labels, accumulate = 1, share: outerShare = 1 } = input
  const { distillation, mixed } = settings
  const starts = microBatches(labels.length, accumulate)
  let total: Numbers = { loss: 0, correct: 0, gateGradients: [], mixtureGradients: [] }
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
      mixtureGradients: addGradients(total.mixtureGradients, numbers.mixtureGradients),
    }
  }
  return total
}

export { type Batch, lossOf, type MixedLabels, partStarts, runBatch, type StepInput }
