// The executor's own kernels for backends without a hand-written version: compositions of standard TensorFlow.js
// operations. They define what the SIMD kernels must compute, and are what those are tested against.

import * as tf from '@tensorflow/tfjs-core'

import { centredPadding } from '../../search-space/layers/windows.ts'
import {
  type ClampActivation,
  clampLimits,
  type FusedActivation,
  kernelNames,
  type NormaliseAttributes,
  type Phases,
  type SgdAttributes,
} from './operations.ts'
import { relu6 } from './relu6.ts'

type Inputs = Record<string, tf.Tensor>

type ComposedKernel = (inputs: never, attributes: never) => tf.Tensor | tf.Tensor[]

const CHANNEL_AXIS = 3

/** Everything but the channels. */
const positionAxes = [0, 1, 2]

function inverseDeviation(variance: tf.Tensor, epsilon: number): tf.Tensor {
  return tf.rsqrt(tf.add(variance, epsilon))
}

function activate(y: tf.Tensor, activation: FusedActivation): tf.Tensor {
  if (activation === 'none') return y
  return activation === 'relu6' ? relu6(y) : tf.relu(y)
}

/** dy where 0 < z < limit: through a ReLU or ReLU6 of z. */
function throughActivation(dy: tf.Tensor, z: tf.Tensor, activation: FusedActivation): tf.Tensor {
  if (activation === 'none') return dy
  const above = tf.greater(z, 0)
  const open = activation === 'relu6' ? tf.logicalAnd(above, tf.less(z, clampLimits.relu6)) : above
  return tf.mul(dy, tf.cast(open, 'float32'))
}

function batchNormApply(
  inputs: { x: tf.Tensor; mean: tf.Tensor; variance: tf.Tensor; gamma: tf.Tensor; beta: tf.Tensor },
  { epsilon, activation }: NormaliseAttributes,
): tf.Tensor {
  const { x, mean, variance, gamma, beta } = inputs
  const scale = tf.mul(gamma, inverseDeviation(variance, epsilon))
  return activate(tf.add(tf.mul(tf.sub(x, mean), scale), beta), activation)
}

function batchNormTrain(
  { x, gamma, beta }: { x: tf.Tensor; gamma: tf.Tensor; beta: tf.Tensor },
  attributes: NormaliseAttributes,
): tf.Tensor[] {
  const mean = tf.mean(x, positionAxes)
  const variance = tf.mean(tf.square(tf.sub(x, mean)), positionAxes)
  return [batchNormApply({ x, mean, variance, gamma, beta }, attributes), mean, variance]
}

type NormVectors = { mean: tf.Tensor; variance: tf.Tensor; gamma: tf.Tensor; beta: tf.Tensor }

/** See DeferredGradient in operations.ts. */
function deferredGradient(y: tf.Tensor, dy: tf.Tensor, coefficients: tf.Tensor, activation: FusedActivation): tf.Tensor {
  const [mean, scale, beta, meanSum, slope] = tf.unstack(coefficients) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
  const d = tf.sub(y, mean)
  const dz = throughActivation(dy, tf.add(tf.mul(d, scale), beta), activation)
  return tf.mul(tf.sub(tf.sub(dz, meanSum), tf.mul(d, slope)), scale)
}

function batchNormDefer(
  { x, dy, mean, variance, gamma, beta }: NormVectors & { x: tf.Tensor; dy: tf.Tensor },
  { epsilon, activation }: NormaliseAttributes,
): tf.Tensor[] {
  const inverse = inverseDeviation(variance, epsilon)
  const scale = tf.mul(gamma, inverse)
  const d = tf.sub(x, mean)
  const dz = throughActivation(dy, tf.add(tf.mul(d, scale), beta), activation)
  const dbeta = tf.sum(dz, positionAxes)
  const dgamma = tf.mul(tf.sum(tf.mul(dz, d), positionAxes), inverse)
  const positions = x.size / gamma.size
  const slope = tf.div(tf.mul(dgamma, inverse), positions)
  return [tf.stack([mean, scale, beta, tf.div(dbeta, positions), slope]), dgamma, dbeta]
}

function batchNormGrad(inputs: NormVectors & { x: tf.Tensor; dy: tf.Tensor }, attributes: NormaliseAttributes): tf.Tensor[] {
  const [coefficients, dgamma, dbeta] = batchNormDefer(inputs, attributes) as [tf.Tensor, tf.Tensor, tf.Tensor]
  return [deferredGradient(inputs.x, inputs.dy, coefficients, attributes.activation), dgamma, dbeta]
}

type ConvolutionInputs = { x: tf.Tensor4D; filter: tf.Tensor4D } & Partial<NormVectors>
type ConvolutionAttributes = NormaliseAttributes & { stride: number; statistics: boolean }

/** x as the convolution sees it. */
function normalisedInput({ x, mean, variance, gamma, beta }: Partial<NormVectors> & { x: tf.Tensor4D }, attributes: NormaliseAttributes) {
  if (!mean || !variance || !gamma || !beta) return x
  return batchNormApply({ x, mean, variance, gamma, beta }, attributes) as tf.Tensor4D
}

function withStatistics(y: tf.Tensor, statistics: boolean): tf.Tensor[] {
  if (!statistics) return [y]
  const mean = tf.mean(y, positionAxes)
  return [y, mean, tf.mean(tf.square(tf.sub(y, mean)), positionAxes)]
}

/** Zeros around the images: with them, a convolution of any stride is `valid`. Not every backend pads by given amounts. */
function padded(x: tf.Tensor4D, padding: number): tf.Tensor4D {
  return tf.pad(x, [
    [0, 0],
    [padding, padding],
    [padding, padding],
    [0, 0],
  ])
}

/** Which TensorFlow.js's dense convolutions do not have: runs of channels that are convolved by themselves. */
function groupsOf(channels: number, filter: tf.Tensor4D): number {
  return channels / filter.shape[2]
}

/** Each group by itself, its results side by side. */
function inGroups(x: tf.Tensor4D, filter: tf.Tensor4D, run: (x: tf.Tensor4D, filter: tf.Tensor4D) => tf.Tensor4D): tf.Tensor4D {
  const groups = groupsOf(x.shape[3], filter)
  if (groups === 1) return run(x, filter)
  const filters = tf.split(filter, groups, CHANNEL_AXIS)
  const parts = (tf.split(x, groups, CHANNEL_AXIS) as tf.Tensor4D[]).map((part, group) => run(part, filters[group] as tf.Tensor4D))
  return tf.concat(parts, CHANNEL_AXIS)
}

const denseConvolution = (x: tf.Tensor4D, filter: tf.Tensor4D, stride: number, pad: 'same' | 'valid') =>
  inGroups(x, filter, (part, own) => tf.conv2d(part, own, stride, pad))

/** Centred padding, see search-space/layers/windows.ts; at stride 1 that is `same`, which backends have short cuts for. */
function convolveWith(operation: typeof denseConvolution) {
  return (inputs: ConvolutionInputs, attributes: ConvolutionAttributes): tf.Tensor[] => {
    const { filter } = inputs
    const { stride, statistics } = attributes
    const x = normalisedInput(inputs, attributes)
    const y =
      stride === 1 ? operation(x, filter, 1, 'same') : operation(padded(x, centredPadding(filter.shape[0])), filter, stride, 'valid')
    return withStatistics(y, statistics)
  }
}

type GradientInputs = ConvolutionInputs & { dy: tf.Tensor; y?: tf.Tensor; coefficients?: tf.Tensor }
type GradientAttributes = NormaliseAttributes & {
  stride: number
  inputShape: readonly number[]
  outputActivation: FusedActivation
  wantInput: boolean
  wantFilter: boolean
}

/** Gradients through TensorFlow.js's own kernels of the given names. */
function composeGradient(inputKernel: string, filterKernel: string) {
  return (inputs: GradientInputs, attributes: GradientAttributes): tf.Tensor[] => {
    const { x, filter, y, coefficients, mean, variance, gamma, beta } = inputs
    const { stride, inputShape, outputActivation, wantInput, wantFilter } = attributes
    const dy = y && coefficients ? deferredGradient(y, inputs.dy, coefficients, outputActivation) : inputs.dy
    const padding = stride === 1 ? 0 : centredPadding(filter.shape[0])
    const pad = stride === 1 ? 'same' : 'valid'
    const shared = { strides: [stride, stride], pad, dataFormat: 'NHWC', dilations: [1, 1] }
    const run = (name: string, given: Inputs, more: object) =>
      tf.engine().runKernel(name, given, { ...shared, ...more } as unknown as tf.NamedAttrMap) as tf.Tensor
    const outputs: tf.Tensor[] = []
    if (wantInput) {
      const [batch, height, width, channels] = inputShape as [number, number, number, number]
      const paddedShape = [batch, height + 2 * padding, width + 2 * padding, channels]
      const wide = run(inputKernel, { dy, filter }, { inputShape: paddedShape })
      const dx = padding > 0 ? tf.slice(wide, [0, padding, padding, 0], [batch, height, width, channels]) : wide
      outputs.push(dx)
      if (mean && variance && gamma && beta) outputs.push(...batchNormDefer({ x, dy: dx, mean, variance, gamma, beta }, attributes))
    }
    if (wantFilter) {
      const seen = normalisedInput(inputs, attributes)
      outputs.push(run(filterKernel, { x: padding > 0 ? padded(seen, padding) : seen, dy }, { filterShape: filter.shape }))
    }
    return outputs
  }
}

/** The gradient of a dense convolution, group by group. */
function inGradientGroups(gradient: (inputs: GradientInputs, attributes: GradientAttributes) => tf.Tensor[]) {
  return (inputs: GradientInputs, attributes: GradientAttributes): tf.Tensor[] => {
    const { x, filter, dy, y, coefficients } = inputs
    const { inputShape, outputActivation } = attributes
    const [batch = 0, height = 0, width = 0, channels = 0] = inputShape
    const groups = groupsOf(channels, filter)
    if (groups === 1) return gradient(inputs, attributes)
    const split = (tensor: tf.Tensor) => tf.split(tensor, groups, CHANNEL_AXIS) as tf.Tensor4D[]
    const filters = split(filter)
    const gradients = split(y && coefficients ? deferredGradient(y, dy, coefficients, outputActivation) : dy)
    const images = x && split(x)
    const own = { ...attributes, inputShape: [batch, height, width, channels / groups] }
    const results = filters.map((part, group) => {
      const given = { filter: part, dy: gradients[group] as tf.Tensor, ...(images && { x: images[group] as tf.Tensor4D }) }
      return gradient(given as GradientInputs, own)
    })
    const joined = (position: number) =>
      tf.concat(
        results.map((result) => result[position] as tf.Tensor),
        CHANNEL_AXIS,
      )
    return (results[0] ?? []).map((_, position) => joined(position))
  }
}

/** Rows or columns behind those of an image, up to the next multiple of the dilation. */
function surplus(size: number, dilation: number): number {
  return Math.ceil(size / dilation) * dilation - size
}

function splitPhases({ x }: { x: tf.Tensor4D }, { dilation, phases }: Phases): tf.Tensor {
  const [batch, height, width] = x.shape
  const sides = [
    [0, surplus(height, dilation)],
    [0, surplus(width, dilation)],
  ]
  const all = tf.spaceToBatchND(x, [dilation, dilation], sides)
  return tf.slice(all, 0, phases * batch)
}

function joinPhases(
  { y }: { y: tf.Tensor4D },
  { dilation, phases, height, width }: Phases & { readonly height: number; readonly width: number },
): tf.Tensor {
  const missing = (y.shape[0] / phases) * (dilation ** 2 - phases)
  const none: [number, number] = [0, 0]
  const all = missing === 0 ? y : tf.pad(y, [[0, missing], none, none, none])
  const crops = [
    [0, surplus(height, dilation)],
    [0, surplus(width, dilation)],
  ]
  return tf.batchToSpaceND(all, [dilation, dilation], crops)
}

function shiftChannels({ x }: { x: tf.Tensor4D }, { first, channels }: { first: number; channels: number }): tf.Tensor {
  const [batch, height, width, own] = x.shape
  const begin = Math.max(0, first)
  const kept = Math.max(0, Math.min(own, first + channels) - begin)
  const before = Math.min(channels, Math.max(0, -first))
  const part = tf.slice(x, [0, 0, 0, Math.min(begin, own)], [batch, height, width, kept])
  const none: [number, number] = [0, 0]
  return tf.pad(part, [none, none, none, [before, channels - before - kept]])
}

function shuffleChannels({ x }: { x: tf.Tensor4D }, { groups }: { groups: number }): tf.Tensor {
  const [batch, height, width, channels] = x.shape
  const runs = tf.reshape(x, [batch * height * width, groups, channels / groups])
  return tf.reshape(tf.transpose(runs, [0, 2, 1]), x.shape)
}

function clampGrad({ x, dy }: { x: tf.Tensor; dy: tf.Tensor }, { activation }: { activation: ClampActivation }): tf.Tensor {
  return throughActivation(dy, x, activation)
}

function swish({ x }: { x: tf.Tensor }): tf.Tensor {
  return tf.mul(x, tf.sigmoid(x))
}

function swishGrad({ x, dy }: { x: tf.Tensor; dy: tf.Tensor }): tf.Tensor {
  const share = tf.sigmoid(x)
  return tf.mul(dy, tf.mul(share, tf.add(1, tf.mul(x, tf.sub(1, share)))))
}

function scaleChannels({ x, scale }: { x: tf.Tensor; scale: tf.Tensor }): tf.Tensor {
  return tf.mul(x, scale)
}

function scaleGrad({ x, dy }: { x: tf.Tensor; dy: tf.Tensor }): tf.Tensor {
  return tf.sum(tf.mul(x, dy), [1, 2], true)
}

function globalAveragePool({ x }: { x: tf.Tensor }): tf.Tensor {
  return tf.mean(x, [1, 2], true)
}

function globalAveragePoolGrad({ dy }: { dy: tf.Tensor }, { height, width }: { height: number; width: number }): tf.Tensor {
  return tf.tile(tf.div(dy, height * width), [1, height, width, 1])
}

function softmaxCrossEntropy(
  { logits, labels }: { logits: tf.Tensor2D; labels: tf.Tensor1D },
  { labelSmoothing }: { labelSmoothing: number },
): tf.Tensor[] {
  const [batch, classes] = logits.shape
  const onehot = tf.cast(tf.oneHot(labels, classes), 'float32')
  const targets = tf.add(tf.mul(onehot, 1 - labelSmoothing), labelSmoothing / classes)
  const shifted = tf.sub(logits, tf.max(logits, 1, true))
  const logTotal = tf.log(tf.sum(tf.exp(shifted), 1, true))
  const logProbabilities = tf.sub(shifted, logTotal)
  const loss = tf.div(tf.neg(tf.sum(tf.mul(targets, logProbabilities))), batch)
  const correct = tf.sum(tf.cast(tf.equal(tf.argMax(logits, 1), labels), 'float32'))
  const dlogits = tf.div(tf.sub(tf.exp(logProbabilities), targets), batch)
  return [tf.stack([loss, correct]), dlogits]
}

function dot({ a, b }: { a: tf.Tensor; b: tf.Tensor }): tf.Tensor {
  return tf.reshape(tf.sum(tf.mul(a, b)), [1])
}

function sum({ a, b }: { a: tf.Tensor; b: tf.Tensor }): tf.Tensor {
  return tf.add(a, b)
}

function sgdStep(
  inputs: { weight: tf.Tensor; velocity: tf.Tensor; gradient: tf.Tensor },
  { learningRate, momentum, nesterov, weightDecay }: SgdAttributes,
): tf.Tensor[] {
  const { weight, velocity, gradient } = inputs
  const decayed = weightDecay === 0 ? gradient : tf.add(gradient, tf.mul(weight, weightDecay))
  const nextVelocity = tf.add(tf.mul(velocity, momentum), decayed)
  const direction = nesterov ? tf.add(decayed, tf.mul(nextVelocity, momentum)) : nextVelocity
  return [tf.sub(weight, tf.mul(direction, learningRate)), nextVelocity]
}

const composedKernels = {
  batchNormApply,
  batchNormDefer,
  batchNormGrad,
  batchNormTrain,
  clampGrad,
  convolve: convolveWith(denseConvolution),
  convolveDepthwise: convolveWith(tf.depthwiseConv2d),
  convolveDepthwiseGrad: composeGradient(tf.DepthwiseConv2dNativeBackpropInput, tf.DepthwiseConv2dNativeBackpropFilter),
  convolveGrad: inGradientGroups(composeGradient(tf.Conv2DBackpropInput, tf.Conv2DBackpropFilter)),
  dot,
  globalAveragePool,
  globalAveragePoolGrad,
  joinPhases,
  scaleChannels,
  scaleGrad,
  sgdStep,
  shiftChannels,
  shuffleChannels,
  softmaxCrossEntropy,
  splitPhases,
  sum,
  swish,
  swishGrad,
} satisfies Record<keyof typeof kernelNames, ComposedKernel>

/** Registers every kernel of ours for a backend as a composition; a name that it already has is left as it is. */
function registerComposedKernels(backendName: string): void {
  for (const [name, compose] of Object.entries(composedKernels)) {
    const kernelName = kernelNames[name as keyof typeof kernelNames]
    if (tf.getKernel(kernelName, backendName)) continue
    const run = compose as (inputs: Inputs, attributes: object) => tf.Tensor | tf.Tensor[]
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) => tf.tidy(() => run(inputs as Inputs, attrs ?? {})) as unknown as tf.TensorInfo[],
    })
  }
}

export { registerComposedKernels }
