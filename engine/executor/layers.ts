// Forward and reverse of every primitive layer, as explicit pairs. `forward` says which tensors its `reverse` will
// read, so that the passes know how long each must live; nothing here disposes anything but its own intermediates.

import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../kernels/operations.ts'
import { type Dropout, dropoutMask } from './dropout.ts'
import type { BatchNormStep, Conv2dStep, DepthwiseStep, LinearStep, NormFields, PoolStep, PrimitiveStep } from './plan.ts'
import { averagePoolGradient } from './pooling.ts'

/** Per-channel mean and biased variance of one batch-norm's input. */
type ChannelStatistics = { readonly mean: Float32Array; readonly variance: Float32Array }

/** Where layers find weights; see weights.ts. */
type WeightSource = { get(key: string): tf.Tensor }

type LayerContext = {
  readonly weights: WeightSource
  /** Given statistics by gamma key; without them a batch-norm uses its own batch's. */
  readonly statistics?: ReadonlyMap<string, ChannelStatistics>
  /** Told the batch statistics of each batch-norm as it runs; the tensors stay the executor's. */
  readonly observe?: (gamma: string, mean: tf.Tensor, variance: tf.Tensor) => void
  /** Applied to the inputs of linear layers; default: none. */
  readonly dropout?: Dropout
}

type ForwardResult = {
  /** As the step's `makes` names them. */
  readonly outputs: readonly tf.Tensor[]
  /** Made in passing and needed by `reverse` only. */
  readonly made?: readonly tf.Tensor[]
}

type Gradients = {
  /** Per input; undefined where it was not wanted or is zero. May be `dy` itself. */
  readonly inputs: readonly (tf.Tensor | undefined)[]
  /** The gradient of the first input is a deferred one (kernels/operations.ts): its coefficients. */
  readonly coefficients?: tf.Tensor
  /** By weight key; empty where weights are frozen. */
  readonly weights?: readonly (readonly [key: string, gradient: tf.Tensor])[]
}

/** What a reverse function gets; `made` is what its forward made, `inputs` and `output` only if it asked for them. */
type ReverseArguments<S> = {
  readonly step: S
  readonly inputs: readonly tf.Tensor[]
  readonly output: tf.Tensor | undefined
  readonly made: readonly tf.Tensor[]
  readonly dy: tf.Tensor
  /** Set where `dy` is a deferred gradient. */
  readonly coefficients: tf.Tensor | undefined
  /** Nothing else reads `dy`: it may be overwritten. */
  readonly ownsDy: boolean
  readonly wantInput: boolean
  readonly wantWeights: boolean
  readonly context: LayerContext
}

type LayerRule<S> = {
  forward(step: S, inputs: readonly tf.Tensor[], context: LayerContext): ForwardResult
  reverse(given: ReverseArguments<S>): Gradients
  /** Whether `reverse` reads the layer's inputs, given whether weight gradients are wanted. */
  readsInputs(step: S, wantWeights: boolean): boolean
  readsOutput?(step: S): boolean
}

function only(tensors: readonly tf.Tensor[]): tf.Tensor4D {
  return tensors[0] as tf.Tensor4D
}

function withBatch(dy: tf.Tensor, shape: readonly number[] | undefined): number[] {
  return [dy.shape[0] as number, ...(shape ?? [])]
}

type Shape4 = [number, number, number, number]

type Operations = {
  readonly forward: typeof kernels.conv2d
  readonly gradient: typeof kernels.conv2dGradient
}

/** The batch-norm that a convolution applies to its input, with the moments that come along with it. */
function inputNorm(norm: NormFields | undefined, inputs: readonly tf.Tensor[], { weights }: LayerContext): kernels.InputNorm | undefined {
  const [, mean, variance] = inputs
  if (!norm || !mean || !variance) return undefined
  const { epsilon, relu6 } = norm
  return { mean, variance, gamma: weights.get(norm.gamma), beta: weights.get(norm.beta), epsilon, relu6 }
}

/** Moments that were given for a batch-norm, as tensors. */
function givenMoments(gamma: string, { statistics }: LayerContext): tf.Tensor[] | undefined {
  const given = statistics?.get(gamma)
  return given && [tf.tensor1d(given.mean), tf.tensor1d(given.variance)]
}

function convolutionRule(operations: Operations): LayerRule<Conv2dStep | DepthwiseStep> {
  return {
    forward(step, inputs, context) {
      const norm = inputNorm(step.before, inputs, context)
      const given = step.behind && givenMoments(step.behind.gamma, context)
      const filter = context.weights.get(step.filter)
      const statistics = step.behind !== undefined && given === undefined
      const { y, moments } = operations.forward(only(inputs), filter, step.stride, { ...(norm && { norm }), statistics })
      if (!step.behind) return { outputs: [y] }
      if (!moments) return { outputs: [y, ...(given ?? [])] }
      context.observe?.(step.behind.gamma, moments.mean, moments.variance)
      return { outputs: [y, moments.mean, moments.variance] }
    },
    reverse({ step, inputs, output, dy, coefficients, wantInput, wantWeights, context }) {
      const { before, behind } = step
      const norm = inputNorm(before, inputs, context)
      const filter = context.weights.get(step.filter)
      const x = inputs[0]
      const { dx, dfilter, normGradients } = operations.gradient({
        ...(x && { x }),
        inputShape: withBatch(dy, step.inputShapes[0]),
        filter,
        stride: step.stride,
        dy,
        ...(norm && { norm }),
        ...(coefficients && behind && output && { deferred: { y: output, coefficients, relu6: behind.relu6 } }),
        wantInput,
        wantFilter: wantWeights,
      })
      const weights: [string, tf.Tensor][] = dfilter ? [[step.filter, dfilter]] : []
      if (before && normGradients) addNormGradients(before, normGradients, wantWeights, weights)
      return { inputs: [dx], weights, ...(normGradients && { coefficients: normGradients.coefficients }) }
    },
    readsInputs: (step, wantWeights) => wantWeights || step.before !== undefined,
    readsOutput: (step) => step.behind !== undefined,
  }
}

function addNormGradients(norm: NormFields, gradients: kernels.NormGradients, wanted: boolean, weights: [string, tf.Tensor][]): void {
  const { dgamma, dbeta } = gradients
  if (wanted) weights.push([norm.gamma, dgamma], [norm.beta, dbeta])
  else tf.dispose([dgamma, dbeta])
}

const conv2d: LayerRule<Conv2dStep> = convolutionRule({ forward: kernels.conv2d, gradient: kernels.conv2dGradient })

const depthwiseConv2d: LayerRule<DepthwiseStep> = convolutionRule({
  forward: kernels.depthwiseConv2d,
  gradient: kernels.depthwiseGradient,
})

const batchNorm: LayerRule<BatchNormStep> = {
  forward(step, inputs, context) {
    const x = only(inputs)
    const gamma = context.weights.get(step.gamma)
    const beta = context.weights.get(step.beta)
    const [, mean, variance] = inputs
    if (mean && variance) return { outputs: [kernels.batchNormApply({ x, mean, variance, gamma, beta }, step)] }
    const given = givenMoments(step.gamma, context)
    if (given) {
      const [givenMean, givenVariance] = given as [tf.Tensor, tf.Tensor]
      const output = kernels.batchNormApply({ x, mean: givenMean, variance: givenVariance, gamma, beta }, step)
      tf.dispose(given)
      return { outputs: [output] }
    }
    const made = kernels.batchNormTrain(x, gamma, beta, step)
    context.observe?.(step.gamma, made.mean, made.variance)
    return { outputs: [made.y], made: [made.mean, made.variance] }
  },
  reverse({ step, inputs, made, dy, ownsDy, wantWeights, context }) {
    const isDeferred = inputs.length > 1
    const [mean, variance] = isDeferred ? inputs.slice(1) : made
    if (!mean || !variance) throw new Error(`${step.id}: no reverse pass with given statistics`)
    const gamma = context.weights.get(step.gamma)
    const beta = context.weights.get(step.beta)
    const given = { x: only(inputs), dy, mean, variance, gamma, beta }
    const { epsilon, relu6 } = step
    const weights: [string, tf.Tensor][] = []
    if (isDeferred) {
      const gradients = kernels.batchNormDefer(given, { epsilon, relu6 })
      addNormGradients(step, gradients, wantWeights, weights)
      return { inputs: [dy], weights, coefficients: gradients.coefficients }
    }
    const { dx, dgamma, dbeta } = kernels.batchNormGrad(given, { epsilon, relu6, overwriteDy: ownsDy })
    if (wantWeights) weights.push([step.gamma, dgamma], [step.beta, dbeta])
    else tf.dispose([dgamma, dbeta])
    return { inputs: [dx], weights }
  },
  readsInputs: () => true,
}

type PlainStep<Kind> = Extract<PrimitiveStep, { kind: Kind }>

const relu6: LayerRule<PlainStep<'relu6'>> = {
  forward: (_step, inputs) => ({ outputs: [tf.relu6(only(inputs))] }),
  reverse: ({ inputs, dy }) => ({ inputs: [kernels.relu6Gradient(only(inputs), dy)] }),
  readsInputs: () => true,
}

const add: LayerRule<PlainStep<'add'>> = {
  forward: (_step, [a, b]) => ({ outputs: [kernels.sum(a as tf.Tensor, b as tf.Tensor)] }),
  reverse: ({ dy }) => ({ inputs: [dy, dy] }),
  readsInputs: () => false,
}

const concat: LayerRule<PlainStep<'concat'>> = {
  forward: (_step, inputs) => ({ outputs: [tf.concat([...inputs], 3)] }),
  reverse({ step, dy }) {
    const channels = step.inputShapes.map((shape) => shape[2])
    return { inputs: tf.split(dy, channels, 3) }
  },
  readsInputs: () => false,
}

const pool: LayerRule<PoolStep> = {
  forward({ mode, kernel, stride }, inputs) {
    const operation = mode === 'max' ? tf.maxPool : tf.avgPool
    return { outputs: [operation(only(inputs), kernel, stride, 'same')] }
  },
  reverse({ step, inputs, output, dy }) {
    if (step.mode === 'average') return { inputs: [averagePoolGradient(step, dy)] }
    const given = { dy, input: only(inputs), output: output as tf.Tensor }
    const { kernel, stride } = step
    const attributes = { filterSize: [kernel, kernel], strides: [stride, stride], pad: 'same' }
    return { inputs: [tf.engine().runKernel('MaxPoolGrad', given, attributes) as tf.Tensor] }
  },
  readsInputs: (step) => step.mode === 'max',
  readsOutput: (step) => step.mode === 'max',
}

const globalAveragePool: LayerRule<PlainStep<'globalAveragePool'>> = {
  forward: (_step, inputs) => ({ outputs: [kernels.globalAveragePool(only(inputs))] }),
  reverse({ step, dy }) {
    const [height = 1, width = 1] = step.inputShapes[0] ?? []
    return { inputs: [kernels.globalAveragePoolGradient(dy, height, width)] }
  },
  readsInputs: () => false,
}

/** A 1×1 convolution of a 1×1 image: [batch, 1, 1, inputs] times [1, 1, inputs, outputs]. */
const linear: LayerRule<LinearStep> = {
  forward(step, inputs, { weights, dropout }) {
    const mask = dropout && dropoutMask(dropout, only(inputs).shape)
    const output = tf.tidy(() => {
      const { y } = kernels.conv2d(asVectors(masked(only(inputs), mask)), asFilter(weights.get(step.weights)), 1)
      return tf.add(y, weights.get(step.bias))
    })
    return { outputs: [output], ...(mask && { made: [mask] }) }
  },
  reverse({ step, inputs, made: [mask], dy, wantInput, wantWeights, context }) {
    const weights = context.weights.get(step.weights)
    const inputShape = withBatch(dy, step.inputShapes[0])
    const batch = dy.shape[0] as number
    const size = inputShape.slice(1).reduce((product, length) => product * length, 1)
    return tf.tidy(() => {
      const { dx, dfilter } = kernels.conv2dGradient({
        ...(wantWeights && { x: asVectors(masked(only(inputs), mask)) }),
        inputShape: [batch, 1, 1, size],
        filter: asFilter(weights),
        stride: 1,
        dy,
        wantInput,
        wantFilter: wantWeights,
      })
      return {
        inputs: [dx && masked(tf.reshape<tf.Rank.R4>(dx, inputShape as Shape4), mask)],
        weights: dfilter
          ? [
              [step.weights, tf.reshape(dfilter, weights.shape)],
              [step.bias, tf.sum(dy, [0, 1, 2])],
            ]
          : [],
      }
    }) as unknown as Gradients
  },
  readsInputs: (_step, wantWeights) => wantWeights,
}

function masked(x: tf.Tensor4D, mask: tf.Tensor | undefined): tf.Tensor4D {
  return mask ? tf.mul(x, mask) : x
}

/** [inputs, outputs] as the filter of a 1×1 convolution. */
function asFilter(weights: tf.Tensor): tf.Tensor {
  return tf.reshape(weights, [1, 1, ...weights.shape])
}

/** [batch, h, w, c] as [batch, 1, 1, h*w*c]. */
function asVectors(x: tf.Tensor4D): tf.Tensor {
  return tf.reshape(x, [x.shape[0], 1, 1, x.size / x.shape[0]])
}

const zero: LayerRule<PlainStep<'zero'>> = {
  forward: (step, inputs) => ({ outputs: [tf.zeros(withBatch(only(inputs), step.shape))] }),
  reverse: () => ({ inputs: [undefined] }),
  readsInputs: () => false,
}

type RuleTable = { readonly [Kind in PrimitiveStep['kind']]: LayerRule<Extract<PrimitiveStep, { kind: Kind }>> }

const layerRules: RuleTable = {
  conv2d,
  depthwiseConv2d,
  batchNorm,
  relu6,
  add,
  concat,
  pool,
  globalAveragePool,
  linear,
  zero,
}

/** The rule of a step; the table's own types pair each kind with its step. */
function ruleOf(step: PrimitiveStep): LayerRule<PrimitiveStep> {
  return layerRules[step.kind] as unknown as LayerRule<PrimitiveStep>
}

export { type ChannelStatistics, type LayerContext, ruleOf, type WeightSource }
