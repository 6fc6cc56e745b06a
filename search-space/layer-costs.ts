// Multiply-accumulates and parameters of lists of layers; layers/ counts those of each.

import { layerCosts, layerInputs, type LayerCosts, type PrimitiveLayer } from './layers/index.ts'
import type { Shape } from './layers/layer.ts'

/** Costs of layers in topological order; `outer` gives shapes of tensors made before them. */
function totalCosts(
  layers: readonly PrimitiveLayer[],
  outer: ReadonlyMap<string, Shape> = new Map(),
): Pick<LayerCosts, 'macs' | 'parameters'> {
  const shapes = new Map(outer)
  let macs = 0
  let parameters = 0
  for (const layer of layers) {
    const inputs = layerInputs(layer).map((id) => {
      const shape = shapes.get(id)
      if (shape === undefined) throw new Error(`layer ${layer.id} reads ${id}, which no earlier layer makes`)
      return shape
    })
    const costs = layerCosts(layer, inputs)
    macs += costs.macs
    parameters += costs.parameters
    shapes.set(layer.id, layer.shape)
  }
  return { macs, parameters }
}

export { totalCosts }
