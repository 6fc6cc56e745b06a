// Which weights a network reads, and whose they are.

import type { Layer, LayerGraph } from './layer-graph.ts'
import { layerInputs, layerWeights } from './layers/index.ts'
import type { Shape, WeightSpec } from './layers/layer.ts'
import type { Space } from './space.ts'

/** What layers read, in their order, those of mixed layers' branches included; `shapes` of what is made before them. */
function weightsOf(layers: readonly Layer[], shapes: Map<string, Shape>): WeightSpec[] {
  return layers.flatMap((layer) => {
    const inner = layer.kind === 'mixed' ? layer.branches.flatMap((branch) => weightsOf(branch.layers, new Map(shapes))) : []
    const inputs = layerInputs(layer).map((id) => shapes.get(id) ?? layer.shape)
    shapes.set(layer.id, layer.shape)
    return layer.kind === 'mixed' ? inner : Object.values(layerWeights(layer, inputs))
  })
}

/** Keys of filters, batch-norms, matrices and biases in the order of the layers, those of mixed layers' branches included. */
function weightKeys(graph: LayerGraph): string[] {
  return weightsOf(graph.layers, new Map()).map(({ key }) => key)
}

/** The weights that a network reads, by key, in the shapes in which it reads them: parts of those of its space, or the whole. */
function networkWeights(graph: LayerGraph): Map<string, WeightSpec> {
  return new Map(weightsOf(graph.layers, new Map()).map((spec) => [spec.key, spec]))
}

/** The operation that a weight belongs to. */
type WeightOwner = { readonly block: number; readonly operation: number }

/** Owners by key; a weight that is not in it is common: every path has it. */
function weightOwners(space: Space): Map<string, WeightOwner> {
  const owners = new Map<string, WeightOwner>()
  const first = space.decisions.map(() => 0)
  const keysWith = (block: number, operation: number) => weightKeys(space.network(first.with(block, operation)))
  for (const [block, { options }] of space.decisions.entries()) {
    if (options.length === 1) continue
    const ofBlock = options.map((_, operation) => keysWith(block, operation))
    for (const [operation, keys] of ofBlock.entries()) {
      const others = new Set(ofBlock[operation === 0 ? 1 : 0])
      for (const key of keys) if (!others.has(key)) owners.set(key, { block, operation })
    }
  }
  return owners
}

export { networkWeights, weightKeys, type WeightOwner, weightOwners }
