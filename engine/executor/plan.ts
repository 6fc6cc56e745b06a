// Compiles a layer graph to the list of steps that the executor runs: batch-norm and a ReLU6 that alone reads it
// become one step, and every step knows which tensors it reads, how often each is read, and where gradients must flow.
//
// A batch-norm between two convolutions becomes no step at all: the one before it computes the moments of its output,
// the one behind it normalises its input as it reads it, and gradients come back deferred (kernels/operations.ts). What
// stays in memory for the reverse pass is then the convolutions' outputs alone.

import type { Combination, Layer, LayerGraph, MixedLayer, PrimitiveLayer, Shape } from '../../search-space/layer-graph.ts'

type LayerOfKind<Kind extends Layer['kind']> = Extract<Layer, { kind: Kind }>

/** A step's `id` names its output; a fused step has the id of its last layer. */
type StepOf<Kind extends string, Fields> = {
  readonly kind: Kind
  readonly id: string
  readonly shape: Shape
  /** Ids of the tensors it reads, with their shapes. */
  readonly inputs: readonly string[]
  readonly inputShapes: readonly Shape[]
  /** Ids of the tensors it makes: its own and, of a convolution with a batch-norm behind it, its moments'. */
  readonly makes: readonly string[]
} & Fields

type NormFields = {
  readonly gamma: string
  readonly beta: string
  readonly epsilon: number
  /** A ReLU6 is applied to the result. */
  readonly relu6: boolean
}

type ConvolutionFields = {
  readonly kernel: number
  readonly stride: number
  readonly filter: string
  /** A batch-norm that is applied to the input; the inputs are then the tensor and its moments. */
  readonly before: NormFields | undefined
  /** The batch-norm that alone reads the output: the moments are computed as well, and gradients arrive deferred. */
  readonly behind: NormFields | undefined
}

type Conv2dStep = StepOf<'conv2d', ConvolutionFields>
type DepthwiseStep = StepOf<'depthwiseConv2d', ConvolutionFields>
/** Reads a tensor, or a convolution's output and its moments. */
type BatchNormStep = StepOf<'batchNorm', NormFields>
type PoolStep = StepOf<'pool', { readonly mode: 'max' | 'average'; readonly kernel: number; readonly stride: number }>
type LinearStep = StepOf<'linear', { readonly weights: string; readonly bias: string }>
type PlainKind = 'relu6' | 'add' | 'concat' | 'globalAveragePool' | 'zero'
type PlainStep = { [Kind in PlainKind]: StepOf<Kind, object> }[PlainKind]
type MixedStep = StepOf<
  'mixed',
  {
    readonly block: number
    readonly active: number
    readonly branches: readonly { readonly operation: number; readonly plan: Plan }[]
    /** Undefined for binary gates: only the active branch runs. */
    readonly combination: Combination | undefined
  }
>

type PrimitiveStep = Conv2dStep | DepthwiseStep | BatchNormStep | PoolStep | LinearStep | PlainStep
type Step = PrimitiveStep | MixedStep

/** `weights`: gradients of every weight. `gates`: only of the mixed layers' gates. `none`: forward only. */
type GradientMode = 'weights' | 'gates' | 'none'

type Plan = {
  readonly input: string
  readonly output: string
  readonly steps: readonly Step[]
  /** How many times each tensor is read; the output counts once more. */
  readonly reads: ReadonlyMap<string, number>
  /** Ids whose gradient is needed, by `${mode}/${whether the plan's input needs one}`; filled on first use. */
  readonly differentiable: Map<string, ReadonlySet<string>>
}

/** A layer graph that contradicts itself: the message names the layer. */
class LayerGraphError extends Error {
  readonly code = 'invalid-layer-graph'
}

function layerInputs(layer: Layer): readonly string[] {
  switch (layer.kind) {
    case 'input':
      return []
    case 'add':
    case 'concat':
      return layer.inputs
    default:
      return [layer.input]
  }
}

function countReads(layers: readonly Layer[], output: string): Map<string, number> {
  const reads = new Map<string, number>([[output, 1]])
  for (const layer of layers) {
    for (const id of layerInputs(layer)) reads.set(id, (reads.get(id) ?? 0) + 1)
  }
  return reads
}

/** Who makes and who reads the tensors of a list of layers. */
type LayerIndex = {
  readonly byId: ReadonlyMap<string, Layer>
  /** The layer that alone reads a tensor, which is not the output either. */
  soleReader(id: string): Layer | undefined
}

function indexLayers(layers: readonly Layer[], output: string): LayerIndex {
  const byId = new Map(layers.map((layer) => [layer.id, layer]))
  const reads = countReads(layers, output)
  const readers = new Map<string, Layer>()
  for (const layer of layers) for (const id of layerInputs(layer)) readers.set(id, layer)
  return { byId, soleReader: (id) => (reads.get(id) === 1 ? readers.get(id) : undefined) }
}

/** The ReLU6 that a batch-norm can be fused with: its only reader. */
function fusableRelu6(layer: LayerOfKind<'batchNorm'>, { soleReader }: LayerIndex): LayerOfKind<'relu6'> | undefined {
  const reader = soleReader(layer.id)
  return reader?.kind === 'relu6' ? reader : undefined
}

/** Ids of the mean and the variance of a convolution's output. */
function momentIds(id: string): [mean: string, variance: string] {
  return [`${id}:mean`, `${id}:variance`]
}

/** Where a tensor is to be read: itself, or the input of a batch-norm that its reader applies. */
type Source = { readonly id: string; readonly norm?: NormFields }

/** A convolution that can apply a batch-norm to what it reads. */
function canNormalise(layer: Layer | undefined): boolean {
  return layer?.kind === 'depthwiseConv2d' || (layer?.kind === 'conv2d' && layer.kernel === 1 && layer.stride === 1)
}

/** Which batch-norms are taken over by the convolutions around them. */
function planNorms(layers: readonly Layer[], index: LayerIndex, merge: boolean) {
  /** By convolution: the batch-norm that alone reads it. */
  const behind = new Map<string, NormFields>()
  /** By the tensor that the batch-norm would have made. */
  const sources = new Map<string, Source>()
  for (const layer of merge ? layers : []) {
    if (layer.kind !== 'batchNorm' || index.soleReader(layer.input) !== layer) continue
    const before = index.byId.get(layer.input)
    if (before?.kind !== 'conv2d' && before?.kind !== 'depthwiseConv2d') continue
    const relu6 = fusableRelu6(layer, index)
    const { gamma, beta, epsilon } = layer
    const norm = { gamma, beta, epsilon, relu6: relu6 !== undefined }
    behind.set(before.id, norm)
    const output = relu6?.id ?? layer.id
    if (canNormalise(index.soleReader(output))) sources.set(output, { id: before.id, norm })
  }
  return { behind, sources }
}

function compileLayers(layers: readonly Layer[], input: string, inputShape: Shape, output: string, merge: boolean): Plan {
  const index = indexLayers(layers, output)
  const { behind, sources } = planNorms(layers, index, merge)
  const shapes = new Map<string, Shape>([[input, inputShape]])
  const fused = new Set<string>()
  const steps: Step[] = []
  for (const layer of layers) {
    if (layer.kind === 'input' || fused.has(layer.id)) continue
    const read = layerInputs(layer)
    const inputShapes = read.map((id) => {
      const shape = shapes.get(id)
      if (shape) return shape
      throw new LayerGraphError(`layer ${layer.id} reads ${id}, which no earlier layer makes`)
    })
    const relu6 = layer.kind === 'batchNorm' ? fusableRelu6(layer, index) : undefined
    if (relu6) fused.add(relu6.id)
    const id = relu6?.id ?? layer.id
    shapes.set(id, layer.shape)
    if (sources.has(id)) continue
    const source = sources.get(read[0] ?? '')
    const hasMoments = source !== undefined || (layer.kind === 'batchNorm' && behind.has(layer.input))
    const [first = '', ...others] = read
    const start = source?.id ?? first
    const inputs = hasMoments ? [start, ...momentIds(start)] : [start, ...others]
    const norms = { before: source?.norm, behind: behind.get(layer.id) }
    const makes = norms.behind ? [id, ...momentIds(id)] : [id]
    steps.push(compileLayer(layer, { id, shape: layer.shape, inputs, inputShapes, makes }, Boolean(relu6), norms, merge))
  }
  if (!shapes.has(output)) throw new LayerGraphError(`no layer makes the output ${output}`)
  const reads = new Map<string, number>([[output, 1]])
  for (const id of steps.flatMap((step) => step.inputs)) reads.set(id, (reads.get(id) ?? 0) + 1)
  return { input, output, steps, reads, differentiable: new Map() }
}

function compileLayer(
  layer: Exclude<Layer, { kind: 'input' }>,
  base: Pick<Step, 'id' | 'shape' | 'inputs' | 'inputShapes' | 'makes'>,
  relu6: boolean,
  norms: Pick<ConvolutionFields, 'before' | 'behind'>,
  merge: boolean,
): Step {
  switch (layer.kind) {
    case 'conv2d':
    case 'depthwiseConv2d': {
      const { kind, kernel, stride, filter } = layer
      return { ...base, ...norms, kind, kernel, stride, filter }
    }
    case 'batchNorm': {
      const { kind, gamma, beta, epsilon } = layer
      return { ...base, kind, gamma, beta, epsilon, relu6 }
    }
    case 'pool': {
      const { kind, mode, kernel, stride } = layer
      return { ...base, kind, mode, kernel, stride }
    }
    case 'linear': {
      const { kind, weights, bias } = layer
      return { ...base, kind, weights, bias }
    }
    case 'mixed':
      return compileMixed(layer, base, merge)
    default:
      return { ...base, kind: layer.kind } as Step
  }
}

function compileMixed(layer: MixedLayer, base: Omit<StepOf<'mixed', object>, 'kind'>, merge: boolean): MixedStep {
  const { block, active, combination } = layer
  const [inputShape] = base.inputShapes
  if (!inputShape || !layer.branches[active]) {
    throw new LayerGraphError(`mixed layer ${layer.id} has no branch ${active} to be active`)
  }
  if (combination?.kind === 'softmax' && combination.alpha.length !== layer.branches.length) {
    throw new LayerGraphError(`mixed layer ${layer.id} has ${layer.branches.length} branches but ${combination.alpha.length} alphas`)
  }
  const branches = layer.branches.map(({ operation, layers, output }) => ({
    operation,
    plan: compileLayers(layers satisfies readonly PrimitiveLayer[], layer.input, inputShape, output, merge),
  }))
  return { ...base, kind: 'mixed', block, active, branches, combination }
}

/** The branches of a mixed step that run in the forward pass. */
function runningBranches({ branches, active, combination }: MixedStep): MixedStep['branches'] {
  return combination ? branches : branches.slice(active, active + 1)
}

type PlanOptions = {
  /** Leave batch-norms to the convolutions around them; default true. */
  readonly mergeNorms?: boolean
}

const compiled = { merged: new WeakMap<LayerGraph, Plan>(), separate: new WeakMap<LayerGraph, Plan>() }

/** The plan of a graph, compiled once per graph object. */
function compilePlan(graph: LayerGraph, { mergeNorms = true }: PlanOptions = {}): Plan {
  const cache = mergeNorms ? compiled.merged : compiled.separate
  const known = cache.get(graph)
  if (known) return known
  const [first] = graph.layers
  const last = graph.layers.at(-1)
  if (!first || !last || first.kind !== 'input') {
    throw new LayerGraphError('a layer graph starts with its input layer')
  }
  const plan = compileLayers(graph.layers, first.id, first.shape, last.id, mergeNorms)
  cache.set(graph, plan)
  return plan
}

function startsGradients(step: Step, mode: GradientMode): boolean {
  if (mode === 'gates') return step.kind === 'mixed'
  switch (step.kind) {
    case 'conv2d':
    case 'depthwiseConv2d':
    case 'batchNorm':
    case 'linear':
      return true
    case 'mixed':
      return runningBranches(step).some(({ plan }) => plan.steps.some((inner) => startsGradients(inner, mode)))
    default:
      return false
  }
}

/** Ids whose gradient the reverse pass must compute: what depends on a weight or gate, or on an input that does. */
function differentiableIds(plan: Plan, mode: GradientMode, throughInput: boolean): ReadonlySet<string> {
  const key = `${mode}/${throughInput}`
  const known = plan.differentiable.get(key)
  if (known) return known
  const ids = new Set<string>(throughInput ? [plan.input] : [])
  if (mode !== 'none') {
    for (const step of plan.steps) {
      if (step.kind === 'zero') continue
      if (startsGradients(step, mode) || step.inputs.some((id) => ids.has(id))) ids.add(step.id)
    }
  }
  plan.differentiable.set(key, ids)
  return ids
}

export {
  type BatchNormStep,
  compilePlan,
  type Conv2dStep,
  type DepthwiseStep,
  differentiableIds,
  type GradientMode,
  LayerGraphError,
  type LinearStep,
  type MixedStep,
  type NormFields,
  type Plan,
  type PoolStep,
  type PrimitiveStep,
  type Step,
}
