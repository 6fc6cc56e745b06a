// Σ |w · ln(∂R/∂w + 1)|: synflow whose sum is not that of the last layers alone (Cavagnero et al. 2023, FreeREA, section 3.2).

import { pathFlow } from './path-flow.ts'
import type { Score } from './score.ts'
import { sumOver } from './sums.ts'

/** Above 2^60, float64 holds no 1 beside it. */
const ONE_IS_LOST = 60

/** ln(g · 2^exponent + 1), for g of any size from 0 on. */
function logOfOneMore(g: number, exponent: number): number {
  if (g === 0) return 0
  return Math.log2(g) + exponent > ONE_IS_LOST ? Math.log(g) + exponent * Math.LN2 : Math.log1p(g * 2 ** exponent)
}

const logsynflow: Score = async (network) => {
  let sum = 0
  for (const { magnitudes, gradient, exponent } of await pathFlow(network)) {
    sum += sumOver([[magnitudes, gradient]], (weight, g) => weight * logOfOneMore(g, exponent))
  }
  return sum
}

export { logsynflow }
