// Compiles a layer graph to the list of steps that the executor runs: a batch-norm and the ReLU or ReLU6 that alone reads it
// become one step, and every step knows which tensors it reads, how often each is read, and where gradients must flow.
//
// A batch-norm between two convolutions becomes no step at all: the one before it computes the moments of its output,
// the one behind it normalises its input as it reads it, and gradients come back deferred (kernels/operations.ts). What
// stays in memory for the reverse pass is then the convolutions' outputs alone.

import type { Layer, LayerGraph, LayerOf, MixedLayer } from '../../search-space/layer-graph.ts'
import { layerInputs, layerShape, layerWeights } from '../../search-space/layers/index.ts'
import { LayerGraphError, type Shape } from '../../search-space/layers/layer.ts'
import { fusedForm } from './layers/activation.ts'
import { ruleOf } from './layers/index.ts'
import type { MixedStep, NormFields, Plan, PrimitiveStep, Step } from './step.ts'

/**
 * `weights`: gradients of every weight. `gates`: only of the mixed layers' gates. `inputs`: only of activations and, if that is wanted,
 * of the plan's input. `none`: forward only.
 */
type GradientMode = 'weights' | 'gates' | 'inputs' | 'none'

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

/** The activation that a batch-norm can be fused with: its only reader, if kernels can apply it as they write. */
function fusableActivation(layer: LayerOf<'batchNorm'>, { soleReader }: LayerIndex): LayerOf<'activation'> | undefined {
  const reader = soleReader(layer.id)
  return reader?.kind === 'activation' && fusedForm(reader.activation) ? reader : undefined
}

/** Whether a layer makes the moments of its output. */
function canMeasure(layer: Layer | undefined): boolean {
  if (!layer || layer.kind === 'mixed' || layer.kind === 'input') return false
  return ruleOf(layer).norms?.measuresOutput(layer) ?? false
}

/** Ids of the mean and the variance of a convolution's output. */
function momentIds(id: string): [mean: string, variance: string] {
  return [`${id}:mean`, `${id}:variance`]
}

/** Where a tensor is to be read: itself, or the input of a batch-norm that its reader applies. */
type Source = { readonly id: string; readonly norm?: NormFields }

/** Whether a layer can apply a batch-norm to what it reads. */
function canNormalise(layer: Layer | undefined): boolean {
  if (!layer || layer.kind === 'mixed' || layer.kind === 'input') return false
  return ruleOf(layer).norms?.normalisesInput(layer) ?? false
}

/** A batch-norm with the activation that it is fused with, and the id of what comes out. */
function normFields(layer: LayerOf<'batchNorm'>, index: LayerIndex): { norm: NormFields; output: string; fused: boolean } {
  const reader = fusableActivation(layer, index)
  const { gamma, beta, epsilon } = layer
  const activation = (reader && fusedForm(reader.activation)) ?? 'none'
  return { norm: { gamma, beta, epsilon, activation }, output: reader?.id ?? layer.id, fused: reader !== undefined }
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
    if (!before || !canMeasure(before)) continue
    const { norm, output } = normFields(layer, index)
    behind.set(before.id, norm)
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
    const own = layer.kind === 'batchNorm' ? normFields(layer, index) : undefined
    const id = own?.output ?? layer.id
    if (own?.fused) fused.add(id)
    checkShape(layer, inputShapes)
    shapes.set(id, layer.shape)
    if (sources.has(id)) continue
    const source = sources.get(read[0] ?? '')
    const hasMoments = source !== undefined || (layer.kind === 'batchNorm' && behind.has(layer.input))
    const [first = '', ...others] = read
    const start = source?.id ?? first
    const inputs = hasMoments ? [start, ...momentIds(start)] : [start, ...others]
    const normBehind = behind.get(layer.id)
    const base = { id, shape: layer.shape, inputs, inputShapes, makes: normBehind ? [id, ...momentIds(id)] : [id] }
    if (layer.kind === 'mixed') {
      steps.push(compileMixed(layer, base, merge))
      continue
    }
    const norms = { ...(source?.norm && { before: source.norm }), ...(normBehind && { behind: normBehind }) }
    // A layer has one kind, which the compiler takes apart here.
    steps.push({ ...base, ...norms, kind: layer.kind, layer, activation: own?.norm.activation ?? 'none' } as PrimitiveStep)
  }
  if (!shapes.has(output)) throw new LayerGraphError(`no layer makes the output ${output}`)
  const reads = new Map<string, number>([[output, 1]])
  for (const id of steps.flatMap((step) => step.inputs)) reads.set(id, (reads.get(id) ?? 0) + 1)
  return { input, output, steps, reads, differentiable: new Map() }
}

function checkShape(layer: Layer, inputs: readonly Shape[]): void {
  if (layer.kind === 'mixed') return
  const expected = layerShape(layer, inputs)
  if (expected.every((size, axis) => size === layer.shape[axis])) return
  throw new LayerGraphError(`layer ${layer.id}: expected the shape ${expected.join('×')} from its inputs, got ${layer.shape.join('×')}`)
}

function compileMixed(
  layer: MixedLayer,
  base: Pick<MixedStep, 'id' | 'shape' | 'inputs' | 'inputShapes' | 'makes'>,
  merge: boolean,
): MixedStep {
  const { block, active, combination } = layer
  const [inputShape] = base.inputShapes
  if (!inputShape || !layer.branches[active]) {
    throw new LayerGraphError(`mixed layer ${layer.id} has no branch ${active} to be active`)
  }
  if (combination?.kind === 'weighted' && combination.weights.length !== layer.branches.length) {
    throw new LayerGraphError(`mixed layer ${layer.id} has ${layer.branches.length} branches but ${combination.weights.length} weights`)
  }
  const branches = layer.branches.map(({ operation, layers, output }) => ({
    operation,
    plan: compileLayers(layers, layer.input, inputShape, output, merge),
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
  if (mode === 'inputs') return false
  if (mode === 'gates') return step.kind === 'mixed'
  if (step.kind === 'mixed') {
    return runningBranches(step).some(({ plan }) => plan.steps.some((inner) => startsGradients(inner, mode)))
  }
  return Object.keys(layerWeights(step.layer, step.inputShapes)).length > 0
}

/** Ids whose gradient the reverse pass must compute: what depends on a weight or gate, or on an input that does. */
function differentiableIds(plan: Plan, mode: GradientMode, throughInput: boolean): ReadonlySet<string> {
  const key = `${mode}/${throughInput}`
  const known = plan.differentiable.get(key)
  if (known) return known
  const ids = new Set<string>(throughInput ? [plan.input] : [])
  if (mode !== 'none') {
    for (const step of plan.steps) {
      if (step.kind !== 'mixed' && ruleOf(step).isZero) continue
      if (step.inputs.some((id) => ids.has(id)) || startsGradients(step, mode)) ids.add(step.id)
    }
  }
  plan.differentiable.set(key, ids)
  return ids
}

export { compilePlan, differentiableIds, type GradientMode }
