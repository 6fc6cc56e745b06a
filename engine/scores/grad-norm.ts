// Σ_layers ‖∂L/∂W‖₂: a sum of norms, not the norm of the whole (Abdelfattah et al. 2021, section 3.1).

import { lossGradients } from './loss-gradients.ts'
import type { Score } from './score.ts'
import { norm } from './sums.ts'

const gradNorm: Score = async (network) => {
  let sum = 0
  for (const [, gradient] of (await lossGradients(network)).values()) sum += norm(gradient)
  return sum
}

export { gradNorm }
