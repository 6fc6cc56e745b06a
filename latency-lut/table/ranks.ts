// Ranks, and what is made of them: correlation of two orders, and one order out of several.

import { pearsonCorrelation } from './agreement.ts'

/** 1 for the smallest; equal values share the mean of their places (midranks). −Infinity is a value like others. */
function ranksOf(values: readonly number[]): number[] {
  const order = values
    .map((_, index) => index)
    .toSorted((a, b) => ((values[a] as number) < (values[b] as number) ? -1 : (values[a] as number) > (values[b] as number) ? 1 : 0))
  const ranks = values.map(() => 0)
  for (let from = 0; from < order.length;) {
    let to = from + 1
    while (to < order.length && values[order[to] as number] === values[order[from] as number]) to++
    for (let i = from; i < to; i++) ranks[order[i] as number] = (from + 1 + to) / 2
    from = to
  }
  return ranks
}

/** Spearman's rho (1904): Pearson's correlation of the ranks. NaN where one of both is constant. */
function spearmanRho(x: readonly number[], y: readonly number[]): number {
  return pearsonCorrelation(ranksOf(x), ranksOf(y))
}

/**
 * One number for each of m candidates out of several scores (Lee and Ham 2024, AZ-NAS, section 3.2): Σ over scores of ln(rank / m), m the
 * rank of the best. A candidate that is bad by one of the scores is bad; more is better, 0 the most.
 *
 * @param scores [score][candidate]; null is worse than any number
 */
function logRanks(scores: readonly (readonly (number | null)[])[]): number[] {
  const ranks = scores.map((values) => ranksOf(values.map((value) => value ?? Number.NEGATIVE_INFINITY)))
  const count = scores[0]?.length ?? 0
  return Array.from({ length: count }, (_, i) => ranks.reduce((sum, of) => sum + Math.log((of[i] as number) / count), 0))
}

export { logRanks, ranksOf, spearmanRho }
