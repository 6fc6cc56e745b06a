// How a kind of layer runs: forward and reverse in training, and once more for inference. `forward` says which tensors its
// `reverse` will read, so that the passes know how long each must live; nothing here disposes anything but its own intermediates.

import type * as tf from '@tensorflow/tfjs-core'

import type { LayerOf, Shape } from '../../../search-space/layer-graph.ts'
import type { WeightName } from '../../../search-space/layers/index.ts'
import type { FusedActivation } from '../../kernels/operations.ts'
import type { Dropout } from '../dropout.ts'
import type { LayerStep, StepKind } from '../step.ts'

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
type ReverseArguments<Kind extends StepKind> = {
  readonly step: LayerStep<Kind>
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

/** A layer of an inference network: its weights are constants, and a batch-norm behind it may be folded into them. */
type InferenceStep<Kind extends StepKind> = {
  readonly kind: Kind
  /** Names its output; that of the last layer that it stands for. */
  readonly id: string
  readonly layer: LayerOf<Kind>
  readonly inputs: readonly string[]
  readonly inputShapes: readonly Shape[]
  /** Without the batch dimension. */
  readonly shape: Shape
  readonly constants: { readonly [Name in WeightName<Kind>]: Float32Array }
  /** What a folded batch-norm adds per channel. */
  readonly bias: Float32Array | null
  /** Of a batch-norm's input. */
  readonly statistics: ChannelStatistics | null
  /** Applied to the result, behind `bias`. */
  readonly activation: FusedActivation
}

/** A step with its constants on the device. */
type PreparedLayer = {
  /** Within tf.tidy; the result is the caller's. */
  run(inputs: readonly tf.Tensor4D[]): tf.Tensor4D
  readonly owned?: readonly tf.Tensor[]
}

type LayerRule<Kind extends StepKind> = {
  forward(step: LayerStep<Kind>, inputs: readonly tf.Tensor[], context: LayerContext): ForwardResult
  reverse(given: ReverseArguments<Kind>): Gradients
  /** Whether `reverse` reads the layer's inputs, given whether weight gradients are wanted. */
  readsInputs(step: LayerStep<Kind>, wantWeights: boolean): boolean
  /** Default: no. */
  readsOutput?(step: LayerStep<Kind>): boolean
  /** The output is 0 whatever the layer reads: no gradient goes through it. Default: false. */
  readonly isZero?: boolean
  /**
   * For a layer that takes over the batch-norms around it; default: none. Where `behind` is set, its forward makes the moments of its
   * output as well, and its reverse takes the deferred gradient of that batch-norm.
   */
  readonly norms?: {
    /** Whether it can apply a batch-norm to what it reads. */
    normalisesInput(layer: LayerOf<Kind>): boolean
    /** Whether it makes the moments of its output for the batch-norm behind it. */
    measuresOutput(layer: LayerOf<Kind>): boolean
    /** The layer's constants with every output channel multiplied by `scale`. */
    fold(constants: InferenceStep<Kind>['constants'], scale: Float32Array): InferenceStep<Kind>['constants']
  }
  /** Uploads constants once. */
  prepare(step: InferenceStep<Kind>): PreparedLayer
}

/** The first tensor, as an image. */
function only(tensors: readonly tf.Tensor[]): tf.Tensor4D {
  return tensors[0] as tf.Tensor4D
}

function withBatch(dy: tf.Tensor, shape: readonly number[] | undefined): number[] {
  return [dy.shape[0] as number, ...(shape ?? [])]
}

export {
  type ChannelStatistics,
  type ForwardResult,
  type Gradients,
  type InferenceStep,
  type LayerContext,
  type LayerRule,
  only,
  type PreparedLayer,
  type ReverseArguments,
  type WeightSource,
  withBatch,
}
