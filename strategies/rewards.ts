// REINFORCE on independent softmaxes (Williams 1992), as ProxylessNAS's second form uses it (Cai, Zhu and Han 2019, section
// 3.3.2 and their code): of K architectures sampled from p, with rewards R_k and baselines b_k,
//
//   dL/dalpha^l_i = 1/K Σ_k (R_k − b_k) (p^l_i − [architecture k has operation i in block l])
//
// is the gradient of −E[R].

import type { Baseline, Reward } from '../protocol/index.ts'
import type { Bound } from './bounds.ts'

/** @param accuracy 0 to 1 */
function rewardOf(reward: Reward, accuracy: number, latencyMs: number, targetMs: number): number {
  switch (reward.kind) {
    case 'accuracy':
      return accuracy
    case 'product':
      return accuracy * (targetMs / latencyMs) ** reward.exponent
    case 'bound':
      return accuracy * Math.min(1, targetMs / latencyMs) ** reward.exponent
    default:
      return reward satisfies never
  }
}

/** Π min(1, bound / cost)^weight over the bounds beside the target latency, as the reward of kind `bound` has it for latency. */
function boundFactor(bounds: readonly Bound[], path: readonly number[]): number {
  return bounds.reduce((product, { of, atMost, weight }) => product * Math.min(1, atMost / of.of(path)) ** weight, 1)
}

/**
 * What is taken from each of the rewards, and the moving average afterwards.
 *
 * @param average before this step; null before the first one
 */
function baselinesOf(
  baseline: Baseline,
  rewards: readonly number[],
  average: number | null,
): { baselines: number[]; average: number | null } {
  const sum = rewards.reduce((total, reward) => total + reward, 0)
  if (baseline.kind === 'leave-one-out') {
    return { baselines: rewards.map((reward) => (sum - reward) / (rewards.length - 1)), average }
  }
  const mean = sum / rewards.length
  const next = average === null ? mean : average + baseline.rate * (mean - average)
  return { baselines: rewards.map(() => next), average: next }
}

export { baselinesOf, boundFactor, rewardOf }
