// Multiply-accumulates and parameters of layers, as the MobileNetV2 and ProxylessNAS papers count them:
// convolutions and fully connected layers only for MACs; batch-norm's gamma and beta and biases among the parameters.

import type { PrimitiveLayer, Shape } from './layer-graph.ts'

type LayerCosts = { readonly macs: number; readonly parameters: number }

const NO_COST: LayerCosts = { macs: 0, parameters: 0 }

/** Costs of one layer for one image; `inputShape` is the shape of its (first) input. */
function layerCosts(layer: PrimitiveLayer, inputShape: Shape): LayerCosts {
  const [height, width, channels] = layer.shape
  const inChannels = inputShape[2]
  switch (layer.kind) {
    case 'conv2d': {
      const parameters = layer.kernel ** 2 * inChannels * channels
      return { macs: height * width * parameters, parameters }
    }
    case 'depthwiseConv2d': {
      const parameters = layer.kernel ** 2 * channels
      return { macs: height * width * parameters, parameters }
    }
    case 'batchNorm':
      return { macs: 0, parameters: 2 * channels }
    case 'linear':
      return { macs: inChannels * channels, parameters: inChannels * channels + channels }
    case 'input':
    case 'relu6':
    case 'add':
    case 'concat':
    case 'pool':
    case 'globalAveragePool':
    case 'zero':
      return NO_COST
    default:
      return layer satisfies never
  }
}

function firstInput(layer: PrimitiveLayer): string | null {
  if (layer.kind === 'input') return null
  return 'inputs' in layer ? (layer.inputs[0] ?? null) : layer.input
}

/** Costs of layers in topological order; `outer` gives shapes of tensors made before them. */
function totalCosts(layers: readonly PrimitiveLayer[], outer: ReadonlyMap<string, Shape> = new Map()): LayerCosts {
  const shapes = new Map(outer)
  let macs = 0
  let parameters = 0
  for (const layer of layers) {
    const input = firstInput(layer)
    const inputShape = input === null ? layer.shape : shapes.get(input)
    if (inputShape === undefined) throw new Error(`layer ${layer.id} reads ${input}, which no earlier layer makes`)
    const costs = layerCosts(layer, inputShape)
    macs += costs.macs
    parameters += costs.parameters
    shapes.set(layer.id, layer.shape)
  }
  return { macs, parameters }
}

export { type LayerCosts, totalCosts }
