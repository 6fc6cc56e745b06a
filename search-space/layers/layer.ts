// What there is to say about a kind of layer without running it. One file per kind beside this one says it; index.ts has the
// table. How layers run and how they are written to files is said in tables over the same kinds (docs/architecture.md).

/** Height, width and channels of one image or activation; the batch is always an extra first dimension. */
type Shape = readonly [height: number, width: number, channels: number]

type LayerBase<Kind extends string> = {
  readonly kind: Kind
  /** Unique within the graph, the branches of its mixed layers included. */
  readonly id: string
  /** Shape of the layer's output without the batch dimension; vectors are [1, 1, n]. */
  readonly shape: Shape
}

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
  /** Networks of its space may read parts of it; left out where all of them read the whole. See weight-slices.ts. */
  readonly sliced?: true
}

/** A small layer of a kind, for suites that run over all kinds. */
type LayerExample<L> = {
  /** What it shows; unique within its kind. */
  readonly name: string
  /** Of its inputs, in their order; all of one height and width, or 1×1. */
  readonly inputs: readonly Shape[]
  /** Reads `x0`, `x1`, …; its id is `layer`. */
  readonly layer: L
}

/**
 * A kind of layer. Every function gets the layer and the shapes of its inputs in their order.
 *
 * `shape` throws LayerGraphError where the inputs do not fit; what the inputs leave open, such as the channels of a convolution,
 * it takes from `layer.shape`. `weights` names the tensors that the layer reads, by the names that rules know them under.
 */
type LayerDefinition<L, Weights extends Readonly<Record<string, WeightSpec>> = Readonly<Record<string, WeightSpec>>> = {
  shape(layer: L, inputs: readonly Shape[]): Shape
  /** Multiply-accumulates for one image, as the MobileNetV2 and ProxylessNAS papers count them: convolutions and linear layers. */
  macs(layer: L, inputs: readonly Shape[]): number
  weights(layer: L, inputs: readonly Shape[]): Weights
  examples(): readonly LayerExample<L>[]
}

/** The identity: it lets the compiler find the names of the weights, and says what a file is. */
function defineLayer<L>() {
  return <Weights extends Readonly<Record<string, WeightSpec>>>(definition: LayerDefinition<L, Weights>) => definition
}

/** A layer graph that contradicts itself: the message names the layer. */
class LayerGraphError extends Error {
  readonly code = 'invalid-layer-graph'
}

function printShapes(shapes: readonly Shape[]): string {
  return shapes.map((shape) => shape.join('×')).join(', ') || 'none'
}

/** The only input's shape. Throws LayerGraphError for another number of them. */
function onlyShape({ id }: { readonly id: string }, inputs: readonly Shape[]): Shape {
  const [shape] = inputs
  if (!shape || inputs.length !== 1) throw new LayerGraphError(`layer ${id}: expected one input, got ${inputs.length}`)
  return shape
}

export {
  defineLayer,
  type Initialiser,
  type LayerBase,
  type LayerDefinition,
  type LayerExample,
  LayerGraphError,
  onlyShape,
  printShapes,
  type Shape,
  type WeightSpec,
}
