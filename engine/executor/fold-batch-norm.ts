// Folds each batch-norm into the convolution before it, as deployment does, so that what is measured is what will run:
//   scale = gamma / sqrt(variance + epsilon),  filter' = filter * scale (per output channel),  bias' = beta - mean * scale

import type { LayerGraph, Shape } from '../../search-space/layer-graph.ts'
import type { ChannelStatistics } from './layers.ts'
import { type BatchNormStep, compilePlan, LayerGraphError, type Plan, type PrimitiveStep, type Step } from './plan.ts'

type WeightValues = (key: string) => Float32Array

type Activation = 'linear' | 'relu6'

type FusedBase = {
  readonly id: string
  readonly inputs: readonly string[]
  /** Without the batch dimension. */
  readonly shape: Shape
}

type FusedConvolution = FusedBase & {
  readonly kind: 'conv2d' | 'depthwiseConv2d'
  readonly stride: number
  readonly filter: Float32Array
  readonly filterShape: readonly [number, number, number, number]
  readonly bias: Float32Array
  readonly activation: Activation
}

/** A batch-norm that no convolution precedes: y = clamp(x * scale + offset). */
type FusedScale = FusedBase & {
  readonly kind: 'scale'
  readonly scale: Float32Array
  readonly offset: Float32Array
  readonly activation: Activation
}

type FusedLinear = FusedBase & {
  readonly kind: 'linear'
  readonly weights: Float32Array
  readonly bias: Float32Array
}

type FusedPool = FusedBase & {
  readonly kind: 'pool'
  readonly mode: 'max' | 'average'
  readonly kernel: number
  readonly stride: number
}

type FusedPlain = FusedBase & {
  readonly kind: 'relu6' | 'add' | 'concat' | 'globalAveragePool' | 'zero'
}

type FusedStep = FusedConvolution | FusedScale | FusedLinear | FusedPool | FusedPlain

type FusedNetwork = {
  readonly input: string
  readonly inputShape: Shape
  readonly output: string
  readonly steps: readonly FusedStep[]
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

function scaleAndOffset(
  step: BatchNormStep,
  weights: WeightValues,
  statistics: ReadonlyMap<string, ChannelStatistics> | undefined,
): { scale: Float32Array; offset: Float32Array } {
  const gamma = weights(step.gamma)
  const beta = weights(step.beta)
  const given = statistics?.get(step.gamma)
  if (statistics && !given) throw new LayerGraphError(`no statistics for batch-norm ${step.gamma}`)
  const scale = gamma.map((value, c) => value / Math.sqrt((given?.variance[c] ?? 1) + step.epsilon))
  const offset = beta.map((value, c) => value - (given?.mean[c] ?? 0) * (scale[c] as number))
  return { scale, offset }
}

/** The batch-norm that alone reads a step's output. */
function followingBatchNorm(steps: readonly PrimitiveStep[], id: string, output: string): BatchNormStep | undefined {
  const readers = steps.filter((step) => step.inputs.includes(id))
  const [reader] = readers
  return readers.length === 1 && id !== output && reader?.kind === 'batchNorm' ? reader : undefined
}

function foldConvolution(
  step: Extract<PrimitiveStep, { kind: 'conv2d' | 'depthwiseConv2d' }>,
  norm: BatchNormStep | undefined,
  weights: WeightValues,
  statistics: ReadonlyMap<string, ChannelStatistics> | undefined,
): FusedConvolution {
  const { kind, kernel, stride, inputs } = step
  const inChannels = step.inputShapes[0]?.[2] ?? 1
  const channels = step.shape[2]
  const filter = weights(step.filter)
  const norms = norm && scaleAndOffset(norm, weights, statistics)
  return {
    kind,
    id: norm?.id ?? step.id,
    inputs,
    shape: step.shape,
    stride,
    // The output channel is the fastest index in both layouts (a depthwise filter ends in a 1).
    filter: norms ? filter.map((value, i) => value * (norms.scale[i % channels] as number)) : filter,
    filterShape: [kernel, kernel, inChannels, kind === 'conv2d' ? channels : 1],
    bias: norms?.offset ?? new Float32Array(channels),
    activation: norm?.relu6 ? 'relu6' : 'linear',
  }
}

/**
 * The inference form of a graph; a mixed layer counts as its active branch. Without `statistics` batch-norms use mean 0
 * and variance 1, which is enough to measure time.
 */
function foldBatchNorm(graph: LayerGraph, weights: WeightValues, statistics?: ReadonlyMap<string, ChannelStatistics>): FusedNetwork {
  const plan = compilePlan(graph, { mergeNorms: false })
  const { steps, output } = resolveMixed(plan)
  const folded = new Set<string>()
  const fused = steps.flatMap((step): FusedStep[] => {
    const { id, inputs, shape } = step
    if (folded.has(id)) return []
    switch (step.kind) {
      case 'conv2d':
      case 'depthwiseConv2d': {
        const norm = followingBatchNorm(steps, id, output)
        if (norm) folded.add(norm.id)
        return [foldConvolution(step, norm, weights, statistics)]
      }
      case 'batchNorm': {
        const activation = step.relu6 ? 'relu6' : 'linear'
        return [{ kind: 'scale', id, inputs, shape, activation, ...scaleAndOffset(step, weights, statistics) }]
      }
      case 'linear': {
        const values = { weights: weights(step.weights), bias: weights(step.bias) }
        return [{ kind: 'linear', id, inputs, shape, ...values }]
      }
      case 'pool':
        return [{ kind: 'pool', id, inputs, shape, mode: step.mode, kernel: step.kernel, stride: step.stride }]
      default:
        return [{ kind: step.kind, id, inputs, shape }]
    }
  })
  return { input: plan.input, inputShape: graph.layers[0]?.shape as Shape, output, steps: fused }
}

export { foldBatchNorm, type FusedNetwork, type FusedStep, type WeightValues }
