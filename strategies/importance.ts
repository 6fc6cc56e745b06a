// Importance weights of sampled architectures (PARSEC: Casale, Gordon and Fusi 2019, arXiv 1902.05116, section 3). Of K architectures
// A_k drawn from p(A | alpha) and evaluated on the same images,
//
//   omega_k = P(y | X, w, A_k) / Σ_j P(y | X, w, A_j) = softmax_k(−T · L_k)
//
// with L_k the mean cross-entropy. T = number of images is the likelihood itself, under which one sample takes nearly all; a smaller
// temper spreads the weight. The gradient of −log P(y | X, w, alpha) by alpha, one softmax for each decision, is
//
//   Σ_k omega_k (p_i − [A_k has option i])
//
// and with other multipliers in place of omega, that of −Σ_k m_k log p(A_k | alpha).

import { softmax } from './distribution.ts'

/** @param losses mean cross-entropies, all on the same images */
function importanceWeights(losses: readonly number[], temper: number): number[] {
  return softmax(losses.map((loss) => -temper * loss))
}

/** 1 / Σ omega²: how many samples the weights amount to, from 1 to K. */
function effectiveSamples(weights: readonly number[]): number {
  return 1 / weights.reduce((sum, weight) => sum + weight ** 2, 0)
}

/** Σ_k m_k (p − one-hot) of one decision; `chosen` is the option of each sample. */
function scoreGradient(probabilities: readonly number[], chosen: readonly number[], multipliers: readonly number[]): number[] {
  return probabilities.map((p, option) =>
    chosen.reduce((sum, index, k) => sum + (multipliers[k] as number) * (p - (index === option ? 1 : 0)), 0),
  )
}

export { effectiveSamples, importanceWeights, scoreGradient }
