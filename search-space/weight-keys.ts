// Which weights a network reads.

import type { LayerGraph } from './layer-graph.ts'

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

export { weightKeys }
