// Forward and reverse of every primitive layer, as explicit pairs. `forward` says which tensors its `reverse` will
// read, so that the passes know how long each must live; nothing here disposes anything but its own intermediates.

import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../kernels/operations.ts'
import type { BatchNormStep, Conv2dStep, DepthwiseStep, LinearStep, PoolStep, PrimitiveStep } from './plan.ts'
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
}

type ForwardResult = {
  readonly output: tf.Tensor
  /** Made in passing and needed by `reverse` only. */
  readonly made?: readonly tf.Tensor[]
}

type Gradients = {
  /** Per input; undefined where it was not wanted or is zero. May be `dy` itself. */
  readonly inputs: readonly (tf.Tensor | undefined)[]
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

const conv2d: LayerRule<Conv2dStep> = {
  forward(step, inputs, { weights }) {
    return { output: kernels.conv2d(only(inputs), weights.get(step.filter), step.stride) }
  },
  reverse({ step, inputs, dy, wantInput, wantWeights, context }) {
    const filter = context.weights.get(step.filter)
    const { stride } = step
    const inputShape = withBatch(dy, step.inputShapes[0])
    return {
      inputs: [wantInput ? kernels.conv2dInputGradient(dy, filter, inputShape, stride) : undefined],
      weights: wantWeights ? [[step.filter, kernels.conv2dFilterGradient(only(inputs), dy, filter.shape, stride)]] : [],
    }
  },
  readsInputs: (_step, wantWeights) => wantWeights,
}

const depthwiseConv2d: LayerRule<DepthwiseStep> = {
  forward(step, inputs, { weights }) {
    return { output: kernels.depthwiseConv2d(only(inputs), weights.get(step.filter), step.stride) }
  },
  reverse({ step, inputs, dy, wantInput, wantWeights, context }) {
    const filter = context.weights.get(step.filter)
    const { stride } = step
    const inputShape = withBatch(dy, step.inputShapes[0])
    return {
      inputs: [wantInput ? kernels.depthwiseInputGradient(dy, filter, inputShape, stride) : undefined],
      weights: wantWeights ? [[step.filter, kernels.depthwiseFilterGradient(only(inputs), dy, filter.shape, stride)]] : [],
    }
  },
  readsInputs: (_step, wantWeights) => wantWeights,
}

const batchNorm: LayerRule<BatchNormStep> = {
  forward(step, inputs, { weights, statistics, observe }) {
    const x = only(inputs)
    const gamma = weights.get(step.gamma)
    const beta = weights.get(step.beta)
    const given = statistics?.get(step.gamma)
    if (given) {
      const mean = tf.tensor1d(given.mean)
      const variance = tf.tensor1d(given.variance)
      const output = kernels.batchNormApply({ x, mean, variance, gamma, beta }, step)
      tf.dispose([mean, variance])
      return { output }
    }
    const { y, mean, variance } = kernels.batchNormTrain(x, gamma, beta, step)
    observe?.(step.gamma, mean, variance)
    return { output: y, made: [mean, variance] }
  },
  reverse({ step, inputs, made, dy, ownsDy, wantWeights, context }) {
    const [mean, variance] = made
    if (!mean || !variance) throw new Error(`${step.id}: no reverse pass with given statistics`)
    const gamma = context.weights.get(step.gamma)
    const beta = context.weights.get(step.beta)
    const { dx, dgamma, dbeta } = kernels.batchNormGrad(
      { x: only(inputs), dy, mean, variance, gamma, beta },
      { epsilon: step.epsilon, relu6: step.relu6, overwriteDy: ownsDy },
    )
    if (wantWeights) {
      return {
        inputs: [dx],
        weights: [
          [step.gamma, dgamma],
          [step.beta, dbeta],
        ],
      }
    }
    tf.dispose([dgamma, dbeta])
    return { inputs: [dx] }
  },
  readsInputs: () => true,
}

type PlainStep<Kind> = Extract<PrimitiveStep, { kind: Kind }>

const relu6: LayerRule<PlainStep<'relu6'>> = {
  forward: (_step, inputs) => ({ output: tf.relu6(only(inputs)) }),
  reverse: ({ inputs, dy }) => ({ inputs: [kernels.relu6Gradient(only(inputs), dy)] }),
  readsInputs: () => true,
}

const add: LayerRule<PlainStep<'add'>> = {
  forward: (_step, [a, b]) => ({ output: kernels.sum(a as tf.Tensor, b as tf.Tensor) }),
  reverse: ({ dy }) => ({ inputs: [dy, dy] }),
  readsInputs: () => false,
}

const concat: LayerRule<PlainStep<'concat'>> = {
  forward: (_step, inputs) => ({ output: tf.concat([...inputs], 3) }),
  reverse({ step, dy }) {
    const channels = step.inputShapes.map((shape) => shape[2])
    return { inputs: tf.split(dy, channels, 3) }
  },
  readsInputs: () => false,
}

const pool: LayerRule<PoolStep> = {
  forward({ mode, kernel, stride }, inputs) {
    const operation = mode === 'max' ? tf.maxPool : tf.avgPool
    return { output: operation(only(inputs), kernel, stride, 'same') }
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
  forward: (_step, inputs) => ({ output: kernels.globalAveragePool(only(inputs)) }),
  reverse({ step, dy }) {
    const [height = 1, width = 1] = step.inputShapes[0] ?? []
    return { inputs: [kernels.globalAveragePoolGradient(dy, height, width)] }
  },
  readsInputs: () => false,
}

/** A 1×1 convolution of a 1×1 image: [batch, 1, 1, inputs] times [1, 1, inputs, outputs]. */
const linear: LayerRule<LinearStep> = {
  forward(step, inputs, { weights }) {
    return tf.tidy(() => {
      const matrix = asFilter(weights.get(step.weights))
      return { output: tf.add(kernels.conv2d(asVectors(only(inputs)), matrix, 1), weights.get(step.bias)) }
    })
  },
  reverse({ step, inputs, dy, wantInput, wantWeights, context }) {
    const weights = context.weights.get(step.weights)
    const inputShape = withBatch(dy, step.inputShapes[0])
    const size = inputShape.slice(1).reduce((product, length) => product * length, 1)
    return tf.tidy(() => ({
      inputs: [
        wantInput
          ? tf.reshape(kernels.conv2dInputGradient(dy, asFilter(weights), [dy.shape[0] as number, 1, 1, size], 1), inputShape)
          : undefined,
      ],
      weights: wantWeights ? linearWeightGradients(step, only(inputs), dy, weights.shape) : [],
    })) as unknown as Gradients
  },
  readsInputs: (_step, wantWeights) => wantWeights,
}

function linearWeightGradients(step: LinearStep, x: tf.Tensor4D, dy: tf.Tensor, shape: readonly number[]): [string, tf.Tensor][] {
  const matrix = kernels.conv2dFilterGradient(asVectors(x), dy, [1, 1, ...shape], 1)
  return [
    [step.weights, tf.reshape(matrix, [...shape])],
    [step.bias, tf.sum(dy, [0, 1, 2])],
  ]
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
  forward: (step, inputs) => ({ output: tf.zeros(withBatch(only(inputs), step.shape)) }),
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
