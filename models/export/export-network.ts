// A trained network as the steps that every export format can say: convolutions with explicit padding, batch-norms (unless
// folded into the convolution before them), ReLU6, additions, pooling and the classifier. Layouts are still our own: images
// NHWC, filters HWIO, depthwise filters [kernel, kernel, channels, 1], the classifier [inputs, outputs].

import type { LayerGraph, PrimitiveLayer, Shape } from '../../search-space/layer-graph.ts'
import { foldBatchNorm, type FusedStep } from '../../engine/executor/fold-batch-norm.ts'
import { centredPadding } from '../../engine/kernels/padding.ts'
import type { TrainedModel } from '../model-folder.ts'

type StepOf<Kind extends string, Fields> = {
  readonly kind: Kind
  /** Names its output. */
  readonly id: string
  readonly inputs: readonly string[]
  /** Of the output, without the batch dimension. */
  readonly shape: Shape
} & Fields

type ConvolutionStep = StepOf<
  'convolution',
  {
    readonly isDepthwise: boolean
    readonly kernel: number
    readonly stride: number
    /** Rows and columns of zeros on every side. */
    readonly padding: number
    readonly filter: Float32Array
    /** [kernel, kernel, inChannels, outChannels], or [kernel, kernel, channels, 1]. */
    readonly filterShape: readonly [number, number, number, number]
    readonly bias: Float32Array | null
  }
>

type BatchNormStep = StepOf<
  'batchNorm',
  {
    readonly gamma: Float32Array
    readonly beta: Float32Array
    readonly mean: Float32Array
    readonly variance: Float32Array
    readonly epsilon: number
  }
>

type LinearStep = StepOf<
  'linear',
  { readonly inFeatures: number; readonly outFeatures: number; readonly weights: Float32Array; readonly bias: Float32Array }
>

type PlainStep = StepOf<'relu6' | 'add' | 'globalAveragePool', object>

type ExportStep = ConvolutionStep | BatchNormStep | LinearStep | PlainStep

type ExportNetwork = {
  readonly input: string
  readonly inputShape: Shape
  readonly output: string
  readonly classes: number
  readonly steps: readonly ExportStep[]
}

/** The model cannot be written in the format that was asked for; the message says why. */
class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code = 'export'
}

function refuseLayer(kind: string, id: string): never {
  throw new ExportError(`layer ${id} is a ${kind}, which no export format has a form for`)
}

type Lookup = {
  readonly weights: (key: string) => Float32Array
  readonly statistics: TrainedModel['statistics']
}

function lookupOf(model: TrainedModel): Lookup {
  return {
    weights: (key) => {
      const tensor = model.weights.get(key)
      if (!tensor) throw new ExportError(`the model has no weight ${key}`)
      return tensor.values
    },
    statistics: model.statistics,
  }
}

function foldedSteps(step: FusedStep, inputShape: Shape): ExportStep[] {
  const { id, inputs, shape } = step
  switch (step.kind) {
    case 'conv2d':
    case 'depthwiseConv2d': {
      const { stride, filter, filterShape, bias } = step
      const isDepthwise = step.kind === 'depthwiseConv2d'
      const [kernel] = filterShape
      const clipped = step.activation === 'relu6'
      const convolution = { kind: 'convolution', isDepthwise, kernel, stride, padding: centredPadding(kernel) } as const
      const own = clipped ? `${id}.folded` : id
      return [
        { ...convolution, id: own, inputs, shape, filter, filterShape, bias },
        ...(clipped ? [{ kind: 'relu6', id, inputs: [own], shape } as const] : []),
      ]
    }
    case 'linear':
      return [
        { kind: 'linear', id, inputs, shape, inFeatures: inputShape[2], outFeatures: shape[2], weights: step.weights, bias: step.bias },
      ]
    case 'relu6':
    case 'add':
    case 'globalAveragePool':
      return [{ kind: step.kind, id, inputs, shape }]
    case 'scale':
    case 'pool':
    case 'concat':
    case 'zero':
      return refuseLayer(step.kind, id)
    default:
      return step satisfies never
  }
}

function foldedNetwork(graph: LayerGraph, { weights, statistics }: Lookup): Omit<ExportNetwork, 'classes'> {
  const { input, inputShape, output, steps } = foldBatchNorm(graph, weights, statistics)
  const shapes = new Map<string, Shape>([[input, inputShape]])
  return {
    input,
    inputShape,
    output,
    steps: steps.flatMap((step) => {
      shapes.set(step.id, step.shape)
      return foldedSteps(step, shapes.get(step.inputs[0] ?? input) ?? inputShape)
    }),
  }
}

function plainSteps(layer: PrimitiveLayer, inputShape: Shape, { weights, statistics }: Lookup): ExportStep[] {
  const { id, shape } = layer
  switch (layer.kind) {
    case 'input':
      return []
    case 'conv2d':
    case 'depthwiseConv2d': {
      const { kernel, stride } = layer
      const isDepthwise = layer.kind === 'depthwiseConv2d'
      return [
        {
          kind: 'convolution',
          id,
          inputs: [layer.input],
          shape,
          isDepthwise,
          kernel,
          stride,
          padding: centredPadding(kernel),
          filter: weights(layer.filter),
          filterShape: [kernel, kernel, inputShape[2], isDepthwise ? 1 : shape[2]],
          bias: null,
        },
      ]
    }
    case 'batchNorm': {
      const running = statistics.get(layer.gamma)
      if (!running) throw new ExportError(`the model has no running statistics for ${layer.gamma}`)
      const { mean, variance } = running
      const learned = { gamma: weights(layer.gamma), beta: weights(layer.beta), epsilon: layer.epsilon }
      return [{ kind: 'batchNorm', id, inputs: [layer.input], shape, ...learned, mean, variance }]
    }
    case 'linear': {
      const learned = { weights: weights(layer.weights), bias: weights(layer.bias) }
      return [{ kind: 'linear', id, inputs: [layer.input], shape, inFeatures: inputShape[2], outFeatures: shape[2], ...learned }]
    }
    case 'relu6':
    case 'globalAveragePool':
      return [{ kind: layer.kind, id, inputs: [layer.input], shape }]
    case 'add':
      return [{ kind: 'add', id, inputs: layer.inputs, shape }]
    case 'pool':
    case 'concat':
    case 'zero':
      return refuseLayer(layer.kind, id)
    default:
      return layer satisfies never
  }
}

function plainNetwork(graph: LayerGraph, lookup: Lookup): Omit<ExportNetwork, 'classes'> {
  const [first] = graph.layers
  if (first?.kind !== 'input') throw new ExportError('expected the first layer of the network to be its input')
  const shapes = new Map<string, Shape>()
  const steps = graph.layers.flatMap((layer): ExportStep[] => {
    if (layer.kind === 'mixed') return refuseLayer(layer.kind, layer.id)
    shapes.set(layer.id, layer.shape)
    const read = 'inputs' in layer ? layer.inputs[0] : 'input' in layer ? layer.input : layer.id
    return plainSteps(layer, shapes.get(read ?? '') ?? layer.shape, lookup)
  })
  return { input: first.id, inputShape: first.shape, output: steps.at(-1)?.id ?? first.id, steps }
}

/**
 * The steps of a model's network.
 *
 * @param foldNorms whether batch-norms are folded into the convolutions before them, which then have a bias
 */
function exportNetwork(model: TrainedModel, foldNorms: boolean): ExportNetwork {
  const graph = model.space.network(model.path)
  const lookup = lookupOf(model)
  return { ...(foldNorms ? foldedNetwork(graph, lookup) : plainNetwork(graph, lookup)), classes: model.space.classes }
}

export { type ConvolutionStep, ExportError, exportNetwork, type ExportNetwork, type ExportStep }
