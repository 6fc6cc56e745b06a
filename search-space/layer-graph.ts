// A layer graph is a network as data: a list of primitive layers in topological order, NHWC, every
// tensor named by the layer that makes it. It is plain JSON, so it travels, prints and compares. Who
// executes it (the agent's executor, the latency profiler, an exporter) knows nothing of search spaces.

/** Height, width and channels of one image or activation; the batch is always an extra first dimension. */
type Shape = readonly [height: number, width: number, channels: number]

type LayerBase = {
  /** Unique within the graph, the branches of its mixed layers included. */
  readonly id: string
  /** Shape of the layer's output without the batch dimension; vectors are [1, 1, n]. */
  readonly shape: Shape
}

type InputLayer = LayerBase & { readonly kind: 'input' }

/** Dense convolution of odd kernel, ⌊kernel / 2⌋ zeros on every side, no bias. Filter: [kernel, kernel, inChannels, outChannels]. */
type Conv2dLayer = LayerBase & {
  readonly kind: 'conv2d'
  readonly input: string
  readonly kernel: number
  readonly stride: number
  readonly filter: string
}

/** Depthwise convolution of odd kernel, ⌊kernel / 2⌋ zeros on every side, multiplier 1, no bias. Filter: [kernel, kernel, channels, 1]. */
type DepthwiseConv2dLayer = LayerBase & {
  readonly kind: 'depthwiseConv2d'
  readonly input: string
  readonly kernel: number
  readonly stride: number
  readonly filter: string
}

/** Per-channel normalisation; gamma and beta: [channels]. Batch statistics unless running ones are given. */
type BatchNormLayer = LayerBase & {
  readonly kind: 'batchNorm'
  readonly input: string
  readonly gamma: string
  readonly beta: string
  readonly epsilon: number
}

type Relu6Layer = LayerBase & { readonly kind: 'relu6'; readonly input: string }

type AddLayer = LayerBase & { readonly kind: 'add'; readonly inputs: readonly [string, string] }

/** Concatenation along channels. */
type ConcatLayer = LayerBase & { readonly kind: 'concat'; readonly inputs: readonly string[] }

/** `same`-padded pooling. */
type PoolLayer = LayerBase & {
  readonly kind: 'pool'
  readonly input: string
  readonly mode: 'max' | 'average'
  readonly kernel: number
  readonly stride: number
}

type GlobalAveragePoolLayer = LayerBase & {
  readonly kind: 'globalAveragePool'
  readonly input: string
}

/** Fully connected. Weights: [inputs, outputs]; bias: [outputs]. */
type LinearLayer = LayerBase & {
  readonly kind: 'linear'
  readonly input: string
  readonly weights: string
  readonly bias: string
}

/** All zeros, whatever the input. */
type ZeroLayer = LayerBase & { readonly kind: 'zero'; readonly input: string }

/** One candidate operation of a mixed layer: its layers read `MixedLayer.input` or each other. */
type Branch = {
  readonly operation: number
  readonly layers: readonly PrimitiveLayer[]
  /** Id of the layer whose output is the branch's; every branch of a mixed layer has the same output shape. */
  readonly output: string
}

/**
 * A block with binary gates (ProxylessNAS, section 3.1): the output is the active branch's, gate 1; the others have
 * gate 0 and pass no gradient to the input, but dLoss/dgate = sum(branch output * dLoss/doutput) is wanted for all.
 */
type MixedLayer = LayerBase & {
  readonly kind: 'mixed'
  readonly input: string
  /** Index of the block in its space. */
  readonly block: number
  /** Position in `branches` of the one with gate 1. */
  readonly active: number
  readonly branches: readonly Branch[]
  /** Default: binary gates, as above. Otherwise all branches run, and `active` means nothing. */
  readonly combination?: Combination
}

/**
 * Output of a mixed layer that runs all its branches o_j, for comparison: `softmax` is DARTS (Liu, Simonyan and Yang 2019),
 * sum_j softmax(alpha)_j * o_j with one alpha per branch; `sum` is One-Shot (Bender et al. 2018), sum_j o_j.
 */
type Combination = { readonly kind: 'softmax'; readonly alpha: readonly number[] } | { readonly kind: 'sum' }

type PrimitiveLayer =
  | InputLayer
  | Conv2dLayer
  | DepthwiseConv2dLayer
  | BatchNormLayer
  | Relu6Layer
  | AddLayer
  | ConcatLayer
  | PoolLayer
  | GlobalAveragePoolLayer
  | LinearLayer
  | ZeroLayer

type Layer = PrimitiveLayer | MixedLayer

/** The first layer is the `input`, the last one's output is the network's. */
type LayerGraph = { readonly layers: readonly Layer[] }

/** How a weight tensor is to be started; see initialise.ts. */
type Initialiser =
  | { readonly kind: 'he-normal-fan-out'; readonly fanOut: number }
  | { readonly kind: 'uniform-fan-in'; readonly fanIn: number }
  | { readonly kind: 'ones' }
  | { readonly kind: 'zeros' }

/** One weight tensor of a space, named `<block>/<operation>/<tensor>`. */
type WeightSpec = {
  readonly key: string
  readonly shape: readonly number[]
  readonly initialiser: Initialiser
  /** False for batch-norm parameters and biases. */
  readonly decay: boolean
}

export type {
  AddLayer,
  BatchNormLayer,
  Branch,
  Combination,
  ConcatLayer,
  Conv2dLayer,
  DepthwiseConv2dLayer,
  GlobalAveragePoolLayer,
  Initialiser,
  InputLayer,
  Layer,
  LayerGraph,
  LinearLayer,
  MixedLayer,
  PoolLayer,
  PrimitiveLayer,
  Relu6Layer,
  Shape,
  WeightSpec,
  ZeroLayer,
}
