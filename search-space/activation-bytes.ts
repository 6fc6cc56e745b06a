// Memory of activations in inference: a tensor is there from the layer that makes it to the last one that reads it.

import { elementCount } from './initialise.ts'
import { joinConvolutions } from './join-convolutions.ts'
import type { LayerGraph } from './layer-graph.ts'
import { layerInputs } from './layers/index.ts'

const FLOAT_BYTES = 4

/**
 * The most bytes of activations that are needed at once for one image, each layer in its order and for itself, in float32; sums of
 * convolutions are one, as in all networks for inference.
 */
function peakActivationBytes(graph: LayerGraph): number {
  const { layers } = joinConvolutions(graph).graph
  const lastReader = new Map<string, number>()
  for (const [index, layer] of layers.entries()) for (const id of layerInputs(layer)) lastReader.set(id, index)
  const live = new Map<string, number>()
  let peak = 0
  let now = 0
  for (const [index, layer] of layers.entries()) {
    const bytes = elementCount(layer.shape) * FLOAT_BYTES
    live.set(layer.id, bytes)
    now += bytes
    peak = Math.max(peak, now)
    // What nobody reads is gone at once, but for the network's output.
    for (const id of [...layerInputs(layer), layer.id]) {
      if ((lastReader.get(id) ?? (index === layers.length - 1 ? Number.POSITIVE_INFINITY : -1)) > index) continue
      now -= live.get(id) ?? 0
      live.delete(id)
    }
  }
  return peak
}

export { peakActivationBytes }
