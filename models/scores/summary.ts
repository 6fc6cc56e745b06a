// What scores of many networks say together: their seconds, and how far they put networks into the order of their accuracies.

import { kendallTau } from '../../latency-lut/table/agreement.ts'
import { logRanks, ranksOf, spearmanRho } from '../../latency-lut/table/ranks.ts'
import { median } from '../../latency-lut/table/robust.ts'
import type { ScoreName } from '../../protocol/index.ts'
import type { ScoredArchitecture } from './score-networks.ts'

type ScoreSummary = {
  /** `log-rank`: all scores put together by the logarithms of their ranks. */
  readonly name: ScoreName | 'log-rank'
  /** Median over the networks; of `log-rank` that of all scores. */
  readonly seconds: number
  /** Networks that have no score. */
  readonly without: number
  /** Rank correlations with the accuracies that are known; null where they are not, or all scores are equal. */
  readonly spearman: number | null
  readonly kendall: number | null
}

type Summary = {
  readonly networks: number
  /** Networks whose accuracy is known. */
  readonly recorded: number
  /** Median, of one training step on the same mini-batch. */
  readonly stepSeconds: number
  readonly scores: readonly ScoreSummary[]
}

const orNull = (value: number) => (Number.isNaN(value) ? null : value)

/** @param accuracies of each network; null where nobody knows it */
function summariseScores(
  names: readonly ScoreName[],
  networks: readonly ScoredArchitecture[],
  accuracies: readonly (number | null)[],
): Summary {
  const known = accuracies.flatMap((accuracy, index) => (accuracy === null ? [] : [{ accuracy, index }]))
  const correlate = (values: readonly (number | null)[]) => {
    if (known.length < 2) return { spearman: null, kendall: null }
    // As ranks, since null has no difference to anything.
    const ranks = ranksOf(known.map(({ index }) => values[index] ?? Number.NEGATIVE_INFINITY))
    const of = known.map(({ accuracy }) => accuracy)
    return { spearman: orNull(spearmanRho(ranks, of)), kendall: orNull(kendallTau(ranks, of)) }
  }
  const columns = names.map((_, score) => networks.map(({ values }) => values[score] ?? null))
  const scores = names.map((name, score): ScoreSummary => {
    const values = columns[score] ?? []
    const without = values.filter((value) => value === null).length
    return { name, seconds: median(networks.map(({ seconds }) => seconds[score] ?? 0)), without, ...correlate(values) }
  })
  const together: ScoreSummary = {
    name: 'log-rank',
    seconds: scores.reduce((sum, { seconds }) => sum + seconds, 0),
    without: 0,
    ...correlate(logRanks(columns)),
  }
  return {
    networks: networks.length,
    recorded: known.length,
    stepSeconds: median(networks.map((network) => network.stepSeconds)),
    scores: names.length > 1 ? [...scores, together] : scores,
  }
}

export { type ScoreSummary, type Summary, summariseScores }
