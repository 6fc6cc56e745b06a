// The numerical operations that the executor is written in. Each is one TensorFlow.js kernel, so a backend brings its
// own implementation by registering it: kernels/wasm.ts does so with SIMD, kernels/composed.ts for every other backend.
// Nothing here is recorded on a tape and nothing is disposed: the caller owns every tensor that comes back.

import * as tf from '@tensorflow/tfjs-core'

/** Kernel names that TensorFlow.js does not have; shapes are NHWC, per-channel vectors are [channels]. */
const kernelNames = {
  /** x, gamma, beta; { epsilon, relu6 } -> y, mean, variance (biased, over batch, height and width). */
  batchNormTrain: 'GatehouseBatchNormTrain',
  /** x, dy, mean, variance, gamma, beta; { epsilon, relu6, overwriteDy } -> dx, dgamma, dbeta. */
  batchNormGrad: 'GatehouseBatchNormGrad',
  /** x, mean, variance, gamma, beta; { epsilon, relu6 } -> y. */
  batchNormApply: 'GatehouseBatchNormApply',
  /** x, filter; { stride } -> y, `same` padding; the filter may change in place between calls. */
  convolve: 'GatehouseConvolve',
  /** x, filter; { stride } -> y, `same` padding, channel multiplier 1. */
  convolveDepthwise: 'GatehouseConvolveDepthwise',
  /** x, dy -> dy where 0 < x < 6, otherwise 0. */
  relu6Grad: 'GatehouseRelu6Grad',
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

/** What the fused normalisation kernels are told. */
type NormaliseAttributes = {
  /** Added to the variance. */
  readonly epsilon: number
  /** Clamp the result to [0, 6]; the gradient recomputes the mask. */
  readonly relu6: boolean
}

type SgdAttributes = {
  readonly learningRate: number
  readonly momentum: number
  readonly nesterov: boolean
  readonly weightDecay: number
}

/** y = clamp(gamma * (x - mean) / sqrt(variance + epsilon) + beta), with the batch's own mean and biased variance. */
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

/** Dense convolution, filter [k, k, in, out], `same` padding. */
function conv2d(x: tf.Tensor, filter: tf.Tensor, stride: number): tf.Tensor4D {
  return runOne(kernelNames.convolve, { x, filter }, { stride })
}

function conv2dFilterGradient(x: tf.Tensor, dy: tf.Tensor, filterShape: readonly number[], stride: number): tf.Tensor4D {
  const attributes = { strides: [stride, stride], pad: 'same', dataFormat: 'NHWC', filterShape }
  return runOne('Conv2DBackpropFilter', { x, dy }, attributes)
}

function conv2dInputGradient(dy: tf.Tensor, filter: tf.Tensor, inputShape: readonly number[], stride: number): tf.Tensor4D {
  const attributes = { strides: [stride, stride], pad: 'same', dataFormat: 'NHWC', inputShape }
  return runOne('Conv2DBackpropInput', { dy, filter }, attributes)
}

/** Depthwise convolution, filter [k, k, channels, 1], `same` padding. */
function depthwiseConv2d(x: tf.Tensor, filter: tf.Tensor, stride: number): tf.Tensor4D {
  return runOne(kernelNames.convolveDepthwise, { x, filter }, { stride })
}

function depthwiseFilterGradient(x: tf.Tensor, dy: tf.Tensor, filterShape: readonly number[], stride: number): tf.Tensor4D {
  const attributes = { strides: [stride, stride], dilations: [1, 1], pad: 'same', filterShape }
  return runOne('DepthwiseConv2dNativeBackpropFilter', { x, dy }, attributes)
}

function depthwiseInputGradient(dy: tf.Tensor, filter: tf.Tensor, inputShape: readonly number[], stride: number): tf.Tensor4D {
  const attributes = { strides: [stride, stride], dilations: [1, 1], pad: 'same', inputShape }
  return runOne('DepthwiseConv2dNativeBackpropInput', { dy, filter }, attributes)
}

function relu6Gradient(x: tf.Tensor, dy: tf.Tensor): tf.Tensor4D {
  return runOne(kernelNames.relu6Grad, { x, dy })
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
  batchNormGrad,
  batchNormTrain,
  conv2d,
  conv2dFilterGradient,
  conv2dInputGradient,
  depthwiseConv2d,
  depthwiseFilterGradient,
  depthwiseInputGradient,
  dot,
  globalAveragePool,
  globalAveragePoolGradient,
  kernelNames,
  type NormaliseAttributes,
  type NormaliseGradAttributes,
  relu6Gradient,
  type SgdAttributes,
  sgdStep,
  softmaxCrossEntropy,
  sum,
}
