// Σ_layers ‖W‖₂: no data, no gradient (Abdelfattah et al. 2021, authors' code).

import type { Score } from './score.ts'
import { norm } from './sums.ts'

const l2Norm: Score = async ({ keys, weights }) => {
  let sum = 0
  for (const key of keys) sum += norm(await weights.read(key))
  return sum
}

export { l2Norm }
