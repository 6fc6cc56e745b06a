// The numerical operations that the executor is written in. Each is one TensorFlow.js kernel, so a backend brings its
// own implementation by registering it: kernels/wasm.ts does so with SIMD, kernels/composed.ts for every other backend.
// Nothing here is recorded on a tape and nothing is disposed: the caller owns every tensor that comes back.

import * as tf from '@tensorflow/tfjs-core'

/** Kernel names that TensorFlow.js does not have; shapes are NHWC, per-channel vectors are [channels]. */
const kernelNames = {
  /** x, gamma, beta; { epsilon, activation } -> y, mean, variance (biased, over batch, height and width). */
  batchNormTrain: 'GatehouseBatchNormTrain',
  /** x, dy, mean, variance, gamma, beta; { epsilon, activation, overwriteDy } -> dx, dgamma, dbeta. */
  batchNormGrad: 'GatehouseBatchNormGrad',
  /** As batchNormGrad, -> coefficients [5, channels], dgamma, dbeta: dx is left to whoever reads it (DeferredGradient). */
  batchNormDefer: 'GatehouseBatchNormDefer',
  /** x, mean, variance, gamma, beta; { epsilon, activation } -> y. */
  batchNormApply: 'GatehouseBatchNormApply',
  /** x, filter, and a norm's vectors; { stride, statistics, epsilon, activation } -> y, and with statistics mean, variance. */
  convolve: 'GatehouseConvolve',
  /** As convolve, channel multiplier 1. */
  convolveDepthwise: 'GatehouseConvolveDepthwise',
  /** See convolutionGradient; -> dx, coefficients, dgamma, dbeta, dfilter, as far as wanted. */
  convolveGrad: 'GatehouseConvolveGrad',
  /** As convolveGrad. */
  convolveDepthwiseGrad: 'GatehouseConvolveDepthwiseGrad',
  /** x [batch, h, w, c]; { dilation, phases } -> [phases · batch, ⌈h / dilation⌉, ⌈w / dilation⌉, c]. */
  splitPhases: 'GatehouseSplitPhases',
  /** y as splitPhases makes it; { dilation, phases, height, width } -> x. */
  joinPhases: 'GatehouseJoinPhases',
  /** x [batch, h, w, c]; { first, channels } -> [batch, h, w, channels]: channel i is channel i + first of x, 0 where it has none. */
  shiftChannels: 'GatehouseShiftChannels',
  /** x [batch, h, w, c]; { groups } -> its channels, one of each of the `groups` runs in turn. */
  shuffleChannels: 'GatehouseShuffleChannels',
  /** x, dy; { activation } -> dy where the ReLU or ReLU6 of x lets it through, otherwise 0. */
  clampGrad: 'GatehouseClampGrad',
  /** x -> x σ(x). */
  swish: 'GatehouseSwish',
  /** x, dy -> dy times the slope of the swish at x. */
  swishGrad: 'GatehouseSwishGrad',
  /** x [batch, h, w, c], scale [batch, 1, 1, c] -> x · scale. */
  scaleChannels: 'GatehouseScaleChannels',
  /** x, dy [batch, h, w, c] -> [batch, 1, 1, c], sums of x · dy over height and width. */
  scaleGrad: 'GatehouseScaleGrad',
  /** x [batch, h, w, c] -> [batch, 1, 1, c]. */
  globalAveragePool: 'GatehouseGlobalAveragePool',
  /** dy [batch, 1, 1, c]; { height, width } -> dx [batch, h, w, c]. */
  globalAveragePoolGrad: 'GatehouseGlobalAveragePoolGrad',
  /** logits [batch, classes], labels int32 [batch]; { labelSmoothing } -> [mean loss, correct count], dlogits. */
  softmaxCrossEntropy: 'GatehouseSoftmaxCrossEntropy',
  /** a, b of one shape -> sum of a * b, shape [1]. */
  dot: 'GatehouseDot',
  /** a, b of one shape -> a + b. */
  sum: 'GatehouseSum',
  /** weight, velocity, gradient; { learningRate, momentum, nesterov, weightDecay } -> new weight, new velocity. */
  sgdStep: 'GatehouseSgdStep',
} as const

type Attributes = Record<string, unknown>

function runKernel(name: string, inputs: Record<string, tf.Tensor>, attributes: Attributes = {}) {
  // TensorFlow.js types attributes as its own JSON-like union, which typed literals do not satisfy.
  return tf.engine().runKernel(name, inputs, attributes as tf.NamedAttrMap) as unknown
}

/** Runs a kernel with one output. */
function runOne(name: string, inputs: Record<string, tf.Tensor>, attributes?: Attributes): tf.Tensor4D {
  return runKernel(name, inputs, attributes) as tf.Tensor4D
}

/** Activations that kernels apply as they write and undo as they read: they cut off, which a mask of the result undoes. */
const clampLimits = { relu: Number.POSITIVE_INFINITY, relu6: 6 } as const
type ClampActivation = keyof typeof clampLimits
type FusedActivation = ClampActivation | 'none'

/** What the fused normalisation kernels are told. */
type NormaliseAttributes = {
  /** Added to the variance. */
  readonly epsilon: number
  /** Applied to the result; the gradient recomputes the mask. */
  readonly activation: FusedActivation
}

type SgdAttributes = {
  readonly learningRate: number
  readonly momentum: number
  readonly nesterov: boolean
  readonly weightDecay: number
}

/** y = activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta), with the batch's own mean and biased variance. */
function batchNormTrain(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  attributes: NormaliseAttributes,
): { y: tf.Tensor4D; mean: tf.Tensor1D; variance: tf.Tensor1D } {
  const outputs = runKernel(kernelNames.batchNormTrain, { x, gamma, beta }, attributes)
  const [y, mean, variance] = outputs as [tf.Tensor4D, tf.Tensor1D, tf.Tensor1D]
  return { y, mean, variance }
}

type NormaliseGradAttributes = NormaliseAttributes & {
  /** The caller reads `dy` no more: dx may take its place in memory. It must still be disposed. */
  readonly overwriteDy: boolean
}

/** Gradient of `batchNormTrain` through the batch statistics. */
function batchNormGrad(
  inputs: {
    x: tf.Tensor
    dy: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor
  },
  attributes: NormaliseGradAttributes,
): { dx: tf.Tensor4D; dgamma: tf.Tensor1D; dbeta: tf.Tensor1D } {
  const outputs = runKernel(kernelNames.batchNormGrad, inputs, attributes)
  const [dx, dgamma, dbeta] = outputs as [tf.Tensor4D, tf.Tensor1D, tf.Tensor1D]
  return { dx, dgamma, dbeta }
}

/** The sums that `batchNormGrad` takes, without dx: a convolution that reads it takes the coefficients instead. */
function batchNormDefer(
  inputs: {
    x: tf.Tensor
    dy: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor
  },
  attributes: NormaliseAttributes,
): NormGradients {
  const outputs = runKernel(kernelNames.batchNormDefer, inputs, attributes)
  const [coefficients, dgamma, dbeta] = outputs as [tf.Tensor2D, tf.Tensor1D, tf.Tensor1D]
  return { coefficients, dgamma, dbeta }
}

/** `batchNormTrain` with a mean and variance that are given. */
function batchNormApply(
  inputs: {
    x: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    gamma: tf.Tensor
    beta: tf.Tensor
  },
  attributes: NormaliseAttributes,
): tf.Tensor4D {
  return runOne(kernelNames.batchNormApply, inputs, attributes)
}

/** A batch-norm of a convolution's input, applied as the convolution reads it; all per-channel vectors. */
type InputNorm = NormaliseAttributes & {
  readonly mean: tf.Tensor
  readonly variance: tf.Tensor
  readonly gamma: tf.Tensor
  readonly beta: tf.Tensor
}

type Convolved = {
  readonly y: tf.Tensor4D
  /** Mean and biased variance of y per channel, if asked for. */
  readonly moments?: { readonly mean: tf.Tensor1D; readonly variance: tf.Tensor1D }
}

type ConvolutionOptions = {
  /** 1×1 convolutions of stride 1 and depthwise ones only. */
  readonly norm?: InputNorm
  /** Also compute the moments of y; default false. */
  readonly statistics?: boolean
}

/**
 * The gradient before a batch-norm, not computed yet. With d = y - mean and the rows of `coefficients` [5, channels] being
 * mean, scale, beta, meanSum and slope:  scale * (dz - meanSum - d * slope),  dz = dy where the activation of d * scale + beta lets it through
 */
type DeferredGradient = {
  /** The batch-norm's input. */
  readonly y: tf.Tensor
  readonly coefficients: tf.Tensor
  readonly activation: FusedActivation
}

type ConvolutionGradientInputs = {
  /** Read only for `dfilter` and with `norm`. */
  readonly x?: tf.Tensor
  /** [batch, h, w, c] of x. */
  readonly inputShape: readonly number[]
  readonly filter: tf.Tensor
  readonly stride: number
  readonly dy: tf.Tensor
  readonly norm?: InputNorm
  /** dy is the gradient behind y's batch-norm. */
  readonly deferred?: DeferredGradient
  readonly wantInput: boolean
  readonly wantFilter: boolean
}

type ConvolutionGradients = {
  readonly dfilter?: tf.Tensor4D
  /** With `norm`, the gradient behind that batch-norm, which `normGradients` belongs to. */
  readonly dx?: tf.Tensor4D
  readonly normGradients?: NormGradients
}

type NormGradients = {
  /** For a DeferredGradient. */
  readonly coefficients: tf.Tensor2D
  readonly dgamma: tf.Tensor1D
  readonly dbeta: tf.Tensor1D
}

function convolution(kernelName: string, x: tf.Tensor, filter: tf.Tensor, stride: number, options: ConvolutionOptions): Convolved {
  const { norm, statistics = false } = options
  const vectors = norm && { mean: norm.mean, variance: norm.variance, gamma: norm.gamma, beta: norm.beta }
  const attributes = { stride, statistics, epsilon: norm?.epsilon ?? 0, activation: norm?.activation ?? 'none' }
  const outputs = runKernel(kernelName, { x, filter, ...vectors }, attributes)
  const [y, mean, variance] = outputs as [tf.Tensor4D, tf.Tensor1D, tf.Tensor1D]
  return statistics ? { y, moments: { mean, variance } } : { y }
}

function convolutionGradient(kernelName: string, given: ConvolutionGradientInputs): ConvolutionGradients {
  const { x, inputShape, filter, stride, dy, norm, deferred, wantInput, wantFilter } = given
  const inputs = {
    ...(x && { x }),
    filter,
    dy,
    ...(norm && { mean: norm.mean, variance: norm.variance, gamma: norm.gamma, beta: norm.beta }),
    ...(deferred && { y: deferred.y, coefficients: deferred.coefficients }),
  }
  const attributes = {
    stride,
    inputShape,
    epsilon: norm?.epsilon ?? 0,
    activation: norm?.activation ?? 'none',
    outputActivation: deferred?.activation ?? 'none',
    wantInput,
    wantFilter,
  }
  const outputs = (runKernel(kernelName, inputs, attributes) as tf.Tensor[]).values()
  const next = <T extends tf.Tensor>(wanted: boolean) => (wanted ? (outputs.next().value as T) : undefined)
  const dx = next<tf.Tensor4D>(wantInput)
  const hasNorm = wantInput && norm !== undefined
  const coefficients = next<tf.Tensor2D>(hasNorm)
  const dgamma = next<tf.Tensor1D>(hasNorm)
  const dbeta = next<tf.Tensor1D>(hasNorm)
  const dfilter = next<tf.Tensor4D>(wantFilter)
  return {
    ...(dx && { dx }),
    ...(coefficients && dgamma && dbeta && { normGradients: { coefficients, dgamma, dbeta } }),
    ...(dfilter && { dfilter }),
  }
}

/**
 * Dense convolution, filter [k, k, in / groups, out], centred padding (search-space/layers/windows.ts); the filter may change in place
 * between calls. Groups follow from the shapes: runs of channels that are convolved by themselves.
 */
function conv2d(x: tf.Tensor, filter: tf.Tensor, stride: number, options: ConvolutionOptions = {}): Convolved {
  return convolution(kernelNames.convolve, x, filter, stride, options)
}

function conv2dGradient(given: ConvolutionGradientInputs): ConvolutionGradients {
  return convolutionGradient(kernelNames.convolveGrad, given)
}

/** Depthwise convolution, filter [k, k, channels, 1], centred padding (search-space/layers/windows.ts). */
function depthwiseConv2d(x: tf.Tensor, filter: tf.Tensor, stride: number, options: ConvolutionOptions = {}): Convolved {
  return convolution(kernelNames.convolveDepthwise, x, filter, stride, options)
}

function depthwiseGradient(given: ConvolutionGradientInputs): ConvolutionGradients {
  return convolutionGradient(kernelNames.convolveDepthwiseGrad, given)
}

/** Which pixels are taken together: the first `phases` of the dilation². */
type Phases = { readonly dilation: number; readonly phases: number }

/**
 * Images apart into phases: pixels whose rows and columns leave the same remainders by the dilation, as images of their own, all images of
 * one phase behind those of the phase before it. Sides that the dilation does not divide get zeros.
 */
function splitPhases(x: tf.Tensor, phases: Phases): tf.Tensor4D {
  return runOne(kernelNames.splitPhases, { x }, phases)
}

/** The images [batch, height, width, c] that `splitPhases` took apart; 0 in phases that are not given. It is the gradient of that, too. */
function joinPhases(y: tf.Tensor, phases: Phases, height: number, width: number): tf.Tensor4D {
  return runOne(kernelNames.joinPhases, { y }, { ...phases, height, width })
}

/**
 * `channels` channels of images, the first one being channel `first` of x: a part of its channels, or all with channels of 0 behind them
 * and, where `first` is negative, before them. The gradient is that of −first to the channels of x.
 */
function shiftChannels(x: tf.Tensor, first: number, channels: number): tf.Tensor4D {
  return runOne(kernelNames.shiftChannels, { x }, { first, channels })
}

/**
 * Channels of `groups` runs, one of each in turn (Zhang et al. 2018, ShuffleNet, section 3.1): channel i · groups + g is channel i of run g.
 * It is undone, and its gradient is made, by channels / groups in place of groups.
 */
function shuffleChannels(x: tf.Tensor, groups: number): tf.Tensor4D {
  return runOne(kernelNames.shuffleChannels, { x }, { groups })
}

/** Gradient of a ReLU or ReLU6 of x; 0 where it bends. */
function clampGradient(x: tf.Tensor, dy: tf.Tensor, activation: ClampActivation): tf.Tensor4D {
  return runOne(kernelNames.clampGrad, { x, dy }, { activation })
}

/** x σ(x), σ(x) = 1 / (1 + exp(-x)) (Ramachandran et al. 2017; SiLU elsewhere). */
function swish(x: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.swish, { x })
}

function swishGradient(x: tf.Tensor, dy: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.swishGrad, { x, dy })
}

/** x [batch, h, w, c] with every channel of every image multiplied by its number of `scale` [batch, 1, 1, c]. */
function scaleChannels(x: tf.Tensor, scale: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.scaleChannels, { x, scale })
}

/** Gradient of `scaleChannels` in `scale`; that in x is `scaleChannels(dy, scale)`. */
function scaleGradient(x: tf.Tensor, dy: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.scaleGrad, { x, dy })
}

function globalAveragePool(x: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.globalAveragePool, { x })
}

function globalAveragePoolGradient(dy: tf.Tensor, height: number, width: number): tf.Tensor4D {
  return runOne(kernelNames.globalAveragePoolGrad, { dy }, { height, width })
}

/**
 * Mean cross-entropy against targets (1 - labelSmoothing) * onehot + labelSmoothing / classes.
 * `metrics` holds [mean loss, number of rows whose largest logit is the label]; `dlogits` is the mean's gradient.
 */
function softmaxCrossEntropy(logits: tf.Tensor, labels: tf.Tensor, labelSmoothing: number): { metrics: tf.Tensor1D; dlogits: tf.Tensor2D } {
  const outputs = runKernel(kernelNames.softmaxCrossEntropy, { logits, labels }, { labelSmoothing })
  const [metrics, dlogits] = outputs as [tf.Tensor1D, tf.Tensor2D]
  return { metrics, dlogits }
}

/** Sum of a * b over all elements, shape [1]. */
function dot(a: tf.Tensor, b: tf.Tensor): tf.Tensor1D {
  return runKernel(kernelNames.dot, { a, b }) as tf.Tensor1D
}

/** a + b, elementwise, one shape. */
function sum(a: tf.Tensor, b: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.sum, { a, b })
}

/** g = gradient + weightDecay * w; v = momentum * v + g; w -= learningRate * (nesterov ? g + momentum * v : v). */
function sgdStep(
  inputs: { weight: tf.Tensor; velocity: tf.Tensor; gradient: tf.Tensor },
  attributes: SgdAttributes,
): { weight: tf.Tensor; velocity: tf.Tensor } {
  const outputs = runKernel(kernelNames.sgdStep, inputs, attributes)
  const [weight, velocity] = outputs as [tf.Tensor, tf.Tensor]
  return { weight, velocity }
}

export {
  batchNormApply,
  batchNormDefer,
  batchNormGrad,
  batchNormTrain,
  type ClampActivation,
  clampGradient,
  clampLimits,
  conv2d,
  conv2dGradient,
  type ConvolutionGradientInputs,
  type ConvolutionGradients,
  type ConvolutionOptions,
  type Convolved,
  type DeferredGradient,
  depthwiseConv2d,
  depthwiseGradient,
  dot,
  type FusedActivation,
  globalAveragePool,
  globalAveragePoolGradient,
  type InputNorm,
  joinPhases,
  kernelNames,
  type NormaliseAttributes,
  type NormaliseGradAttributes,
  type NormGradients,
  type Phases,
  scaleChannels,
  scaleGradient,
  type SgdAttributes,
  sgdStep,
  shiftChannels,
  shuffleChannels,
  softmaxCrossEntropy,
  splitPhases,
  sum,
  swish,
  swishGradient,
}
