// How cost beyond a bound enters the multipliers of sampled architectures (FP-NAS: Yan et al. 2021, arXiv 2011.10949, equation 8): with
// C_k = max(0, cost_k / bound − 1) the cost of the distribution is the mean of the samples' costs, and the gradient of β · log C adds to
// each multiplier
//
//   −β · C_k / Σ_j C_j
//
// where none of them is beyond the bound, nothing. With several bounds, each adds its own.

import { addedBounds, type BoundContext, targetBound } from './bounds.ts'

/**
 * What is taken from the multiplier of each sample.
 *
 * @param latencyWeight β of the target latency; the other bounds have weights of their own
 */
function costMultipliers(samples: readonly { readonly path: readonly number[] }[], latencyWeight: number, context: BoundContext): number[] {
  const taken = samples.map(() => 0)
  for (const { of, atMost, weight } of [targetBound(context, latencyWeight), ...addedBounds(context)]) {
    const costs = samples.map(({ path }) => Math.max(0, of.of(path) / atMost - 1))
    const sum = costs.reduce((total, cost) => total + cost, 0)
    if (sum > 0) for (const [k, cost] of costs.entries()) taken[k] = (taken[k] as number) + (weight * cost) / sum
  }
  return taken
}

export { costMultipliers }
