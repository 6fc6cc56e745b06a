// The figures of a proof, from the results of its seeds: what every strategy found at every limit, beside what was to be reached.

import type { Costs } from './costs.ts'
import type { Found } from './found.ts'
import type { SeedResult } from './run-seed.ts'
import {
  type NearSettings,
  type ProofStrategy,
  type RankingSettings,
  type Searches,
  strategyNames,
  type SupernetSettings,
} from './settings.ts'
import { type LimitTruth, limitTruth, type Truth } from './truth.ts'

/**
 * What a search that is worth running has to show at each limit: means over the seeds, and the worst of them. The mean accuracy has to be above
 * the 95th percentile of networks of equal cost.
 */
const WANTED = { regret: 0.3, rankShare: 0.02, leastPercentile: 0.8 } as const
/** What a supernet has to show that ranks well: Kendall's tau of random networks, and of those of equal cost. */
const WANTED_TAU = { all: 0.8, near: 0.5 } as const

const SECONDS_PER_HOUR = 3600

const goals = ['regret', 'rankShare', 'accuracy', 'leastPercentile'] as const
type Missed = (typeof goals)[number]

type Outcome = {
  readonly strategy: ProofStrategy
  readonly limit: number
  readonly seeds: number
  /** Means over the seeds. */
  readonly accuracy: number
  readonly regret: number
  readonly rankShare: number
  readonly percentile: number
  /** Of the seed that did worst. */
  readonly leastPercentile: number
  readonly hours: number
  readonly images: number
  /** What it does not reach. */
  readonly missed: readonly Missed[]
}

type Report = {
  readonly settings: {
    readonly data: { readonly name: string; readonly fingerprint: string }
    readonly recorded: { readonly name: string; readonly citation: string }
    readonly machine: string
    /** Seeds at a time, each in a process of its own. */
    readonly jobs: number
    readonly supernet: SupernetSettings
    readonly near: NearSettings
    readonly ranking: RankingSettings
    readonly searches: Searches
    readonly unit: Costs['unit']
  }
  readonly limits: readonly LimitTruth[]
  readonly seeds: readonly SeedResult[]
  readonly outcomes: readonly Outcome[]
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value / values.length, 0)

function outcomeOf(strategy: ProofStrategy, { limit, equal }: LimitTruth, found: readonly Found[]): Outcome {
  const meanOf = (field: 'accuracy' | 'regret' | 'rankShare' | 'percentile' | 'seconds') => mean(found.map((each) => each[field]))
  const [accuracy, regret, rankShare] = [meanOf('accuracy'), meanOf('regret'), meanOf('rankShare')]
  const leastPercentile = Math.min(...found.map((each) => each.percentile))
  const missed: Record<Missed, boolean> = {
    regret: regret > WANTED.regret,
    rankShare: rankShare > WANTED.rankShare,
    accuracy: accuracy <= equal.upper,
    leastPercentile: leastPercentile < WANTED.leastPercentile,
  }
  return {
    strategy,
    limit,
    seeds: found.length,
    accuracy,
    regret,
    rankShare,
    percentile: meanOf('percentile'),
    leastPercentile,
    hours: meanOf('seconds') / SECONDS_PER_HOUR,
    images: mean(found.map(({ images }) => images)),
    missed: goals.filter((goal) => missed[goal]),
  }
}

function reportOf(
  settings: Report['settings'],
  seeds: readonly SeedResult[],
  limits: readonly number[],
  truth: Truth,
  costs: Costs,
): Report {
  const all = seeds.flatMap(({ found }) => found)
  const truths = limits.map((limit) => limitTruth(truth, costs.of, limit))
  const outcomes = truths.flatMap((at) =>
    strategyNames.flatMap((strategy) => {
      const own = all.filter((found) => found.strategy === strategy && found.limit === at.limit)
      return own.length > 0 ? [outcomeOf(strategy, at, own)] : []
    }),
  )
  return { settings, limits: truths, seeds, outcomes }
}

export { mean, type Missed, type Outcome, type Report, reportOf, SECONDS_PER_HOUR, WANTED, WANTED_TAU }
