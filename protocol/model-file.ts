// A trained network as one safetensors file: weights under the keys of the search, and beside each batch-norm's `gamma`
// its running `mean` and biased `variance`.

import type { Tensor } from './safetensors.ts'

const MODEL_FORMAT = 'gatehouse-model/1'

/** Running mean and biased variance of a batch-norm's input, by channel. */
type RunningStatistics = { readonly mean: Float32Array; readonly variance: Float32Array }

/** Names of the running statistics that belong to a batch-norm's gamma. */
function statisticsKeys(gamma: string): { mean: string; variance: string } {
  return { mean: gamma.replace(/\.gamma$/, '.mean'), variance: gamma.replace(/\.gamma$/, '.variance') }
}

/** Everything that the file holds; statistics come by the key of their gamma. */
function modelTensors(weights: ReadonlyMap<string, Tensor>, statistics: ReadonlyMap<string, RunningStatistics>): Map<string, Tensor> {
  const tensors = new Map(weights)
  for (const [gamma, { mean, variance }] of statistics) {
    const keys = statisticsKeys(gamma)
    tensors.set(keys.mean, { shape: [mean.length], values: mean })
    tensors.set(keys.variance, { shape: [variance.length], values: variance })
  }
  return tensors
}

/** The inverse: `keys` are those of the weights; a batch-norm without statistics among the tensors has none. */
function splitModelTensors(
  tensors: ReadonlyMap<string, Tensor>,
  keys: readonly string[],
): { weights: Map<string, Tensor>; statistics: Map<string, RunningStatistics> } {
  const weights = new Map<string, Tensor>()
  const statistics = new Map<string, RunningStatistics>()
  for (const key of keys) {
    const weight = tensors.get(key)
    if (weight) weights.set(key, weight)
    const names = statisticsKeys(key)
    const [mean, variance] = [tensors.get(names.mean), tensors.get(names.variance)]
    if (key.endsWith('.gamma') && mean && variance) statistics.set(key, { mean: mean.values, variance: variance.values })
  }
  return { weights, statistics }
}

export { MODEL_FORMAT, modelTensors, splitModelTensors, statisticsKeys }
