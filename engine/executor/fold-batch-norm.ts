// A network for inference: constants instead of weights, the active branch instead of a mixed layer, one convolution instead of a sum of them
// (join-convolutions.ts) and, if asked for, each batch-norm folded into the layer before it, as deployment does, so that what is
// measured is what will run:
//   scale = gamma / sqrt(variance + epsilon),  filter' = filter * scale (per output channel),  bias' = beta - mean * scale

import { notFinite, notVariance } from '../../protocol/finite-tensors.ts'
import { joinConvolutions, joinedValues } from '../../search-space/join-convolutions.ts'
import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { layerWeights } from '../../search-space/layers/index.ts'
import { LayerGraphError, type Shape } from '../../search-space/layers/layer.ts'
import { scaleAndOffset } from './layers/batch-norm.ts'
import { type ChannelStatistics, type InferenceStep, ruleOf } from './layers/index.ts'
import { compilePlan } from './plan.ts'
import type { LayerStep, Plan, PrimitiveStep, Step, StepKind } from './step.ts'

/** Values of a weight, row-major, in the shape in which the network reads it. */
type WeightValues = (key: string, shape: readonly number[]) => Float32Array

type AnyInferenceStep = { readonly [Kind in StepKind]: InferenceStep<Kind> }[StepKind]

type InferenceNetwork = {
  readonly input: string
  readonly inputShape: Shape
  readonly output: string
  readonly steps: readonly AnyInferenceStep[]
}

type FoldOptions = {
  /** Whether batch-norms become part of the layers before them; default true. */
  readonly fold?: boolean
}

function withInputs(step: PrimitiveStep, inputs: readonly string[]): PrimitiveStep {
  return { ...step, inputs }
}

/** The plan's steps with each mixed layer replaced by its active branch. */
function resolveMixed(plan: Plan): { steps: PrimitiveStep[]; output: string } {
  const renamed = new Map<string, string>()
  const rename = (id: string) => renamed.get(id) ?? id
  const steps = plan.steps.flatMap((step: Step): PrimitiveStep[] => {
    if (step.kind !== 'mixed') return [withInputs(step, step.inputs.map(rename))]
    if (step.combination) throw new LayerGraphError(`mixed layer ${step.id} runs all its branches: it has no form for inference`)
    const branch = step.branches[step.active]?.plan
    if (!branch) throw new LayerGraphError(`mixed layer ${step.id} has no active branch`)
    const input = rename(step.inputs[0] as string)
    const inner = resolveMixed(branch)
    const place = (id: string) => (id === branch.input ? input : id)
    renamed.set(step.id, place(inner.output))
    return inner.steps.map((innerStep) => withInputs(innerStep, innerStep.inputs.map(place)))
  })
  return { steps, output: rename(plan.output) }
}

/** The batch-norm that alone reads a step's output. */
function followingBatchNorm(steps: readonly PrimitiveStep[], id: string, output: string): LayerStep<'batchNorm'> | undefined {
  const readers = steps.filter((step) => step.inputs.includes(id))
  const [reader] = readers
  return readers.length === 1 && id !== output && reader?.kind === 'batchNorm' ? reader : undefined
}

/**
 * Fused operations of a backend may hide NaN behind a ReLU6, and gamma over the root of a tiny variance is beyond float32: neither may
 * be measured, served or exported.
 */
function checkNumbers({ id, constants, bias, statistics }: AnyInferenceStep): void {
  const named = { ...constants, ...(bias && { bias }), ...(statistics && { mean: statistics.mean }) }
  for (const [name, values] of Object.entries<Float32Array>(named)) {
    const problem = notFinite(values)
    if (problem !== null) throw new LayerGraphError(`layer ${id}, ${name}: ${problem}`)
  }
  const problem = statistics && notVariance(statistics.variance)
  if (problem) throw new LayerGraphError(`layer ${id}, variance: ${problem}`)
}

/**
 * The inference form of a graph; a mixed layer counts as its active branch. Without `statistics` batch-norms use mean 0
 * and variance 1, which is enough to measure time. Throws LayerGraphError where a number is not finite.
 */
function foldBatchNorm(
  graph: LayerGraph,
  weights: WeightValues,
  statistics?: ReadonlyMap<string, ChannelStatistics>,
  { fold = true }: FoldOptions = {},
): InferenceNetwork {
  const { graph: joinedGraph, joined } = joinConvolutions(graph)
  const plan = compilePlan(joinedGraph, { mergeNorms: false })
  const { steps, output } = resolveMixed(plan)

  const valuesOf: WeightValues = (key, shape) => {
    const weight = joined.get(key)
    return weight ? joinedValues(weight, weights) : weights(key, shape)
  }
  const givenOf = (gamma: string): ChannelStatistics => {
    const given = statistics?.get(gamma)
    if (!given) throw new LayerGraphError(`no statistics for batch-norm ${gamma}`)
    return given
  }
  const statisticsOf = (gamma: string): ChannelStatistics | null => {
    if (!statistics) return null
    const weight = joined.get(gamma)
    if (!weight) return givenOf(gamma)
    const of = (name: keyof ChannelStatistics) => joinedValues(weight, (key) => givenOf(key)[name])
    return { mean: of('mean'), variance: of('variance') }
  }

  function unfolded<Kind extends StepKind>(step: LayerStep<Kind>): InferenceStep<Kind> {
    const { kind, id, layer, inputs, inputShapes, shape, activation } = step
    const specs = Object.entries(layerWeights(layer, inputShapes))
    const values = specs.map(([name, { key, shape: of }]) => [name, valuesOf(key, of)])
    const constants = Object.fromEntries(values) as InferenceStep<Kind>['constants']
    return { kind, id, layer, inputs, inputShapes, shape, constants, bias: null, statistics: null, activation }
  }

  function folded<Kind extends StepKind>(step: LayerStep<Kind>, norm: LayerStep<'batchNorm'>): InferenceStep<Kind> | undefined {
    const plain = unfolded(step)
    const { constants, layer } = unfolded(norm)
    const { scale, offset } = scaleAndOffset(constants, layer.epsilon, statisticsOf(layer.gamma))
    const scaled = ruleOf(step).norms?.fold(plain.constants, scale)
    return scaled && { ...plain, id: norm.id, constants: scaled, bias: offset, activation: norm.activation }
  }

  const gone = new Set<string>()
  const made = steps.flatMap((step): AnyInferenceStep[] => {
    if (gone.has(step.id)) return []
    const norm = fold ? followingBatchNorm(steps, step.id, output) : undefined
    if (norm && ruleOf(step).norms) {
      gone.add(norm.id)
      return [folded(step, norm) as AnyInferenceStep]
    }
    if (step.kind === 'batchNorm') return [{ ...unfolded(step), statistics: statisticsOf(step.layer.gamma) }]
    return [unfolded(step) as AnyInferenceStep]
  })
  for (const step of made) checkNumbers(step)
  return { input: plan.input, inputShape: graph.layers[0]?.shape as Shape, output, steps: made }
}

export { type AnyInferenceStep, foldBatchNorm, type FoldOptions, type InferenceNetwork, type WeightValues }
