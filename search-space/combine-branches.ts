import type { Combination, Layer, LayerGraph, MixedLayer } from './layer-graph.ts'

/** The graph in which every mixed layer, those within branches too, runs all its branches and combines them as `combinationOf` says. */
function combineBranches(graph: LayerGraph, combinationOf: (layer: MixedLayer) => Combination): LayerGraph {
  const combine = (layer: Layer): Layer => {
    if (layer.kind !== 'mixed') return layer
    const branches = layer.branches.map((branch) => ({ ...branch, layers: branch.layers.map(combine) }))
    return { ...layer, branches, combination: combinationOf(layer) }
  }
  return { layers: graph.layers.map(combine) }
}

export { combineBranches }
