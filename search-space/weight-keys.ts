// Which weights a network reads, and whose they are.

import type { Layer, LayerGraph } from './layer-graph.ts'
import { layerInputs, layerWeights } from './layers/index.ts'
import type { Shape, WeightSpec } from './layers/layer.ts'
import type { Space } from './space.ts'
import { joinParts } from './weight-slices.ts'

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

/** Weights by key, each as large as the smallest part of it that has in it all of those given. */
function joinWeights(specs: Iterable<WeightSpec>): Map<string, WeightSpec> {
  const joined = new Map<string, WeightSpec>()
  for (const spec of specs) {
    const known = joined.get(spec.key)
    joined.set(spec.key, known ? { ...known, shape: joinParts(known.shape, spec.shape) } : spec)
  }
  return joined
}

/** The weights that a network reads, by key, in the shapes in which it reads them: parts of those of its space, or the whole. */
function networkWeights(graph: LayerGraph): Map<string, WeightSpec> {
  return joinWeights(weightsOf(graph.layers, new Map()))
}

/** The operation that a weight belongs to. */
type WeightOwner = { readonly block: number; readonly operation: number }

/**
 * Owners by key, in a space whose options share no weights (`weightsWithin`); a weight that is not in it is common: every path has
 * it.
 */
function weightOwners(space: Space): Map<string, WeightOwner> {
  const owners = new Map<string, WeightOwner>()
  const { optionWeights } = space
  const first = space.decisions.map(() => 0)
  const keysWith = (block: number, operation: number) => weightKeys(space.network(first.with(block, operation)))
  for (const [block, { options }] of space.decisions.entries()) {
    if (options.length === 1) continue
    const ofBlock = options.map((_, operation) => optionWeights?.(block, operation) ?? keysWith(block, operation))
    for (const [operation, keys] of ofBlock.entries()) {
      const others = new Set(ofBlock[operation === 0 ? 1 : 0])
      for (const key of keys) if (!others.has(key)) owners.set(key, { block, operation })
    }
  }
  return owners
}

/** Keys of weights that every network of a space reads, the whole or a part. */
function commonWeights(space: Space): Set<string> {
  const common = new Set(space.weightSpecs.map(({ key }) => key))
  const { weightsWithin, decisions } = space
  if (!weightsWithin) {
    for (const key of weightOwners(space).keys()) common.delete(key)
    return common
  }
  const all = decisions.map(({ options }) => options.map((_, option) => option))
  for (const [decision, options] of all.entries()) {
    for (const option of options) {
      const read = new Set(weightsWithin(all.with(decision, [option])).map(({ key }) => key))
      for (const key of common) if (!read.has(key)) common.delete(key)
    }
  }
  return common
}

export { commonWeights, joinWeights, networkWeights, weightKeys, type WeightOwner, weightOwners }
