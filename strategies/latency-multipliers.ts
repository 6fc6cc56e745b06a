// How latency beyond the target enters the multipliers of sampled architectures (FP-NAS: Yan et al. 2021, arXiv 2011.10949, equation 8):
// with C_k = max(0, latency_k / target − 1) the cost of the distribution is the mean of the samples' costs, and the gradient of
// β · log C adds to each multiplier
//
//   −β · C_k / Σ_j C_j
//
// where none of them is beyond the target, nothing.

import { pathLatencyMs } from '../latency-lut/table/coverage.ts'
import type { StrategyContext } from './strategy.ts'

/** What is taken from the multiplier of each sample. */
function latencyMultipliers(
  samples: readonly { readonly path: readonly number[] }[],
  weight: number,
  { latency, config }: StrategyContext,
): number[] {
  const costs = samples.map(({ path }) => Math.max(0, pathLatencyMs(latency, path) / config.latency.targetMs - 1))
  const sum = costs.reduce((total, cost) => total + cost, 0)
  return costs.map((cost) => (sum > 0 ? (weight * cost) / sum : 0))
}

export { latencyMultipliers }
