// Alpha gets sharp by the end of the budget. A search of few steps ends before the gradients of the loss have decided; what it derives
// then is the largest of nearly equal probabilities, and its latency is far from the expected one that the loss has held to the target.
//
// The entropy H of the probabilities, mean over the decisions, has a schedule from its start H_0 to a share e of it,
//
//   H*(t) = H_0 (1 − (1 − e) t),     t from 0 at the end of the warm-up to 1 at the end of the search
//
// and while it is above that, the loss of an architecture step has a term w (H/H*(t) − 1) Σ_d H_d over the decisions d, its first
// factor taken as constant: nothing where alpha decides by itself in time, more the further it lags behind.

import { entropy } from './distribution.ts'

type EntropySchedule = {
  /** Share e of the entropy at the start. */
  readonly end: number
  readonly weight: number
}

/** How hard entropy is pulled down: dL/dH_d. `mean` and `start` in nats, `progress` t in 0 … 1. */
function entropyPull(
  { end, weight }: EntropySchedule,
  { mean, start, progress }: { mean: number; start: number; progress: number },
): number {
  const wanted = start * (1 - (1 - end) * Math.min(1, Math.max(0, progress)))
  return wanted > 0 ? weight * Math.max(0, mean / wanted - 1) : 0
}

/** dH/dalpha_j = −p_j (ln p_j + H), where p is the softmax of alpha. */
function entropyGradient(probabilities: readonly number[]): number[] {
  const nats = entropy(probabilities)
  return probabilities.map((p) => (p > 0 ? -p * (Math.log(p) + nats) : 0))
}

export { entropyGradient, entropyPull, type EntropySchedule }
