// Which weights a network reads, and whose they are.

import type { LayerGraph } from './layer-graph.ts'
import type { Space } from './space.ts'

/** Keys of filters, batch-norms, matrices and biases in the order of the layers, those of mixed layers' branches included. */
function weightKeys(graph: LayerGraph): string[] {
  const keys: string[] = []
  for (const layer of graph.layers) {
    const primitives = layer.kind === 'mixed' ? layer.branches.flatMap((branch) => branch.layers) : [layer]
    for (const primitive of primitives) {
      if (primitive.kind === 'conv2d' || primitive.kind === 'depthwiseConv2d') keys.push(primitive.filter)
      else if (primitive.kind === 'batchNorm') keys.push(primitive.gamma, primitive.beta)
      else if (primitive.kind === 'linear') keys.push(primitive.weights, primitive.bias)
    }
  }
  return keys
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

export { weightKeys, type WeightOwner, weightOwners }
