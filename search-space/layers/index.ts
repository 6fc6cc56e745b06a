// The table of layer kinds. What is asked of any layer is asked here; the kinds' own files answer.

import { elementCount } from '../initialise.ts'
import { activation, type ActivationLayer } from './activation.ts'
import { add, type AddLayer } from './add.ts'
import { batchNorm, type BatchNormLayer } from './batch-norm.ts'
import { channelRange, type ChannelRangeLayer } from './channel-range.ts'
import { channelShuffle, type ChannelShuffleLayer } from './channel-shuffle.ts'
import { concat, type ConcatLayer } from './concat.ts'
import { conv2d, type Conv2dLayer } from './conv2d.ts'
import { crop, type CropLayer } from './crop.ts'
import { depthwiseConv2d, type DepthwiseConv2dLayer } from './depthwise-conv2d.ts'
import { globalAveragePool, type GlobalAveragePoolLayer } from './global-average-pool.ts'
import { input, type InputLayer } from './input.ts'
import type { LayerDefinition, LayerExample, Shape, WeightSpec } from './layer.ts'
import { linear, type LinearLayer } from './linear.ts'
import { multiply, type MultiplyLayer } from './multiply.ts'
import { pool, type PoolLayer } from './pool.ts'
import { splitAttention, type SplitAttentionLayer } from './split-attention.ts'
import { zero, type ZeroLayer } from './zero.ts'

type LayerTypes = {
  readonly activation: ActivationLayer
  readonly add: AddLayer
  readonly batchNorm: BatchNormLayer
  readonly channelRange: ChannelRangeLayer
  readonly channelShuffle: ChannelShuffleLayer
  readonly concat: ConcatLayer
  readonly conv2d: Conv2dLayer
  readonly crop: CropLayer
  readonly depthwiseConv2d: DepthwiseConv2dLayer
  readonly globalAveragePool: GlobalAveragePoolLayer
  readonly input: InputLayer
  readonly linear: LinearLayer
  readonly multiply: MultiplyLayer
  readonly pool: PoolLayer
  readonly splitAttention: SplitAttentionLayer
  readonly zero: ZeroLayer
}

type LayerKind = keyof LayerTypes
type LayerOf<Kind extends LayerKind> = LayerTypes[Kind]
type PrimitiveLayer = LayerOf<LayerKind>

type LayerDefinitions = { readonly [Kind in LayerKind]: LayerDefinition<LayerOf<Kind>> }

const definitions = {
  activation,
  add,
  batchNorm,
  channelRange,
  channelShuffle,
  concat,
  conv2d,
  crop,
  depthwiseConv2d,
  globalAveragePool,
  input,
  linear,
  multiply,
  pool,
  splitAttention,
  zero,
} satisfies LayerDefinitions

const layerDefinitions: LayerDefinitions = definitions

/** Names of the weights that a kind of layer reads. */
type WeightName<Kind extends LayerKind> = keyof ReturnType<(typeof definitions)[Kind]['weights']>

/** Typed by the kind alone: for a layer of any kind, it takes layers of any kind. */
function definitionOf<Kind extends LayerKind>({ kind }: { readonly kind: Kind }): LayerDefinition<LayerOf<Kind>> {
  return layerDefinitions[kind]
}

/** Ids of what a layer reads, in order. */
function layerInputs(layer: object): readonly string[] {
  if ('inputs' in layer) return layer.inputs as readonly string[]
  return 'input' in layer ? [layer.input as string] : []
}

/** The shape that follows from the inputs' and the layer's settings. Throws LayerGraphError where they contradict each other. */
function layerShape(layer: PrimitiveLayer, inputs: readonly Shape[]): Shape {
  return definitionOf(layer).shape(layer, inputs)
}

/** The weights that a layer reads, by name. */
function layerWeights(layer: PrimitiveLayer, inputs: readonly Shape[]): Readonly<Record<string, WeightSpec>> {
  return definitionOf(layer).weights(layer, inputs)
}

type LayerCosts = {
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
  /** Values in the output for one image. */
  readonly activations: number
}

function layerCosts(layer: PrimitiveLayer, inputs: readonly Shape[]): LayerCosts {
  const weights = Object.values(layerWeights(layer, inputs))
  return {
    macs: definitionOf(layer).macs(layer, inputs),
    parameters: weights.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    activations: elementCount(layer.shape),
  }
}

function layerExamples<Kind extends LayerKind>(kind: Kind): readonly LayerExample<LayerOf<Kind>>[] {
  return definitionOf({ kind }).examples()
}

const layerKinds = Object.keys(definitions).sort() as readonly LayerKind[]

export {
  type LayerCosts,
  layerCosts,
  layerExamples,
  layerInputs,
  type LayerKind,
  layerKinds,
  type LayerOf,
  layerShape,
  type LayerTypes,
  layerWeights,
  type PrimitiveLayer,
  type WeightName,
}
