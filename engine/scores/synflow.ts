// Σ |w · ∂R/∂w| over what flows through a network without batch-norms (path-flow.ts; Tanaka et al. 2020, equation 4).

import { pathFlow } from './path-flow.ts'
import type { Score } from './score.ts'
import { sumOver } from './sums.ts'

const synflow: Score = async (network) => {
  let sum = 0
  for (const { magnitudes, gradient, exponent } of await pathFlow(network)) {
    sum += sumOver([[magnitudes, gradient]], (weight, g) => weight * g) * 2 ** exponent
  }
  return sum
}

export { synflow }
