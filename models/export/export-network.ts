// A trained network as what every export writes: its layers for inference, with the model's own weights and running statistics.

import { foldBatchNorm, type InferenceNetwork } from '../../engine/executor/index.ts'
import type { TrainedModel } from '../model-folder.ts'

/** The model cannot be written in the format that was asked for; the message says why. */
class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code = 'export'
}

/** Throws ExportError if the model lacks a weight or running statistics of its network. */
function exportNetwork(model: TrainedModel, fold: boolean): InferenceNetwork {
  const graph = model.space.network(model.path)
  const weights = (key: string): Float32Array => {
    const tensor = model.weights.get(key)
    if (!tensor) throw new ExportError(`the model has no weight ${key}`)
    return tensor.values
  }
  for (const layer of graph.layers) {
    if (layer.kind !== 'batchNorm' || model.statistics.has(layer.gamma)) continue
    throw new ExportError(`the model has no running statistics for ${layer.gamma}`)
  }
  return foldBatchNorm(graph, weights, model.statistics, { fold })
}

export { ExportError, exportNetwork }
