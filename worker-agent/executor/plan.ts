// Compiles a layer graph to the list of steps that the executor runs: batch-norm and a ReLU6 that alone reads it
// become one step, and every step knows which tensors it reads, how often each is read, and where gradients must flow.

import type { Layer, LayerGraph, MixedLayer, PrimitiveLayer, Shape } from '../../search-space/layer-graph.ts'

type LayerOfKind<Kind extends Layer['kind']> = Extract<Layer, { kind: Kind }>

/** A step's `id` names its output; a fused step has the id of its last layer. */
type StepOf<Kind extends string, Fields> = {
  readonly kind: Kind
  readonly id: string
  readonly shape: Shape
  /** Ids of the tensors it reads, with their shapes. */
  readonly inputs: readonly string[]
  readonly inputShapes: readonly Shape[]
} & Fields

type ConvolutionFields = {
  readonly kernel: number
  readonly stride: number
  readonly filter: string
}

type Conv2dStep = StepOf<'conv2d', ConvolutionFields>
type DepthwiseStep = StepOf<'depthwiseConv2d', ConvolutionFields>
type BatchNormStep = StepOf<
  'batchNorm',
  {
    readonly gamma: string
    readonly beta: string
    readonly epsilon: number
    /** A ReLU6 is applied to the result. */
    readonly relu6: boolean
  }
>
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

/** The ReLU6 that a batch-norm can be fused with: its only reader. */
function fusableRelu6(
  layer: LayerOfKind<'batchNorm'>,
  layers: readonly Layer[],
  reads: ReadonlyMap<string, number>,
): LayerOfKind<'relu6'> | undefined {
  if (reads.get(layer.id) !== 1) return undefined
  return layers.find((candidate): candidate is LayerOfKind<'relu6'> => candidate.kind === 'relu6' && candidate.input === layer.id)
}

function compileLayers(layers: readonly Layer[], input: string, inputShape: Shape, output: string): Plan {
  const layerReads = countReads(layers, output)
  const shapes = new Map<string, Shape>([[input, inputShape]])
  const fused = new Set<string>()
  const steps: Step[] = []
  for (const layer of layers) {
    if (layer.kind === 'input' || fused.has(layer.id)) continue
    const inputs = layerInputs(layer)
    const inputShapes = inputs.map((id) => {
      const shape = shapes.get(id)
      if (shape) return shape
      throw new LayerGraphError(`layer ${layer.id} reads ${id}, which no earlier layer makes`)
    })
    const relu6 = layer.kind === 'batchNorm' ? fusableRelu6(layer, layers, layerReads) : undefined
    if (relu6) fused.add(relu6.id)
    const id = relu6?.id ?? layer.id
    shapes.set(id, layer.shape)
    steps.push(compileLayer(layer, { id, shape: layer.shape, inputs, inputShapes }, Boolean(relu6)))
  }
  if (!shapes.has(output)) throw new LayerGraphError(`no layer makes the output ${output}`)
  const reads = new Map<string, number>([[output, 1]])
  for (const id of steps.flatMap((step) => step.inputs)) reads.set(id, (reads.get(id) ?? 0) + 1)
  return { input, output, steps, reads, differentiable: new Map() }
}

function compileLayer(
  layer: Exclude<Layer, { kind: 'input' }>,
  base: Pick<Step, 'id' | 'shape' | 'inputs' | 'inputShapes'>,
  relu6: boolean,
): Step {
  switch (layer.kind) {
    case 'conv2d':
    case 'depthwiseConv2d': {
      const { kind, kernel, stride, filter } = layer
      return { ...base, kind, kernel, stride, filter }
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
      return { ...base, kind: 'mixed', block: layer.block, active: layer.active, branches: compileBranches(layer, base.inputShapes) }
    default:
      return { ...base, kind: layer.kind } as Step
  }
}

function compileBranches(layer: MixedLayer, inputShapes: readonly Shape[]): MixedStep['branches'] {
  const [inputShape] = inputShapes
  if (!inputShape || !layer.branches[layer.active]) {
    throw new LayerGraphError(`mixed layer ${layer.id} has no branch ${layer.active} to be active`)
  }
  return layer.branches.map(({ operation, layers, output }) => ({
    operation,
    plan: compileLayers(layers satisfies readonly PrimitiveLayer[], layer.input, inputShape, output),
  }))
}

const compiled = new WeakMap<LayerGraph, Plan>()

/** The plan of a graph, compiled once per graph object. */
function compilePlan(graph: LayerGraph): Plan {
  const known = compiled.get(graph)
  if (known) return known
  const [first] = graph.layers
  const last = graph.layers.at(-1)
  if (!first || !last || first.kind !== 'input') {
    throw new LayerGraphError('a layer graph starts with its input layer')
  }
  const plan = compileLayers(graph.layers, first.id, first.shape, last.id)
  compiled.set(graph, plan)
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
      return step.branches[step.active]?.plan.steps.some((inner) => startsGradients(inner, mode)) ?? false
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
  type Plan,
  type PoolStep,
  type PrimitiveStep,
  type Step,
}
