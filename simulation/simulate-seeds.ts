// The same search on the same recorded trainings with many seeds: how good what it has found is, by how much was evaluated.

import { median, quantile } from '../latency-lut/table/robust.ts'
import type { BoundConfig, SearchConfig } from '../protocol/index.ts'
import type { Path } from '../search-space/index.ts'
import { addedBounds, keeps } from '../strategies/index.ts'
import { createRanking, mean, type RecordedBenchmark, recordedTraining } from './recorded-benchmark.ts'
import { boundContext, type Evaluation, simulateSearch } from './simulate-search.ts'

const MS_PER_HOUR = 3_600_000

type SeedsOptions = {
  readonly benchmark: RecordedBenchmark
  configOf(seed: number): SearchConfig
  readonly seeds: readonly number[]
  readonly agents: number
  /** Evaluations of each search, at most. */
  readonly budget: number
  /** Numbers of evaluations at which results are looked at, rising. */
  readonly marks: readonly number[]
  /** Told of each seed as it is done, and waited for: the moment to give way to others, or to stop by throwing. */
  readonly onSeed?: (seed: number, result: SeedResult) => void | Promise<void>
}

/** Of one seed, after so many evaluations. */
type Found = {
  readonly evaluations: number
  /** Of the best that was evaluated, by what the search was shown; 0 to 1. */
  readonly valid: number
  readonly test: number | null
  /** On the clock of the search. */
  readonly hours: number
  /** Of what the search would derive. */
  readonly rank: number
  readonly derivedValid: number
}

type SeedResult = {
  readonly found: readonly Found[]
  readonly evaluations: number
  /** Until the last of them. */
  readonly hours: number
  readonly toOptimum: number | null
  /** Whether what the search derives keeps its bounds. */
  readonly isKept: boolean
}

type CurvePoint = {
  readonly evaluations: number
  /** Medians over the seeds: the best that was evaluated, as the search was shown it and on other images; 0 to 1. */
  readonly valid: number
  readonly test: number | null
  readonly testQ1: number | null
  readonly testQ3: number | null
  /** Means over the seeds, of the same. */
  readonly validMean: number
  readonly testMean: number | null
  /** Mean over the seeds, on the clock of the search: recorded seconds where there are any. */
  readonly hours: number
  /** Of what the search would derive, among all that have a record; the best has rank 1. */
  readonly medianRank: number
}

type Simulated = {
  readonly benchmark: string
  readonly strategy: string
  readonly budget: number
  readonly seeds: number
  readonly agents: number
  /** Evaluations that the searches made, on average: a strategy may end before its budget is spent. */
  readonly samples: number
  /** Mean over the seeds until the last of them, on the clock of the search, and evaluations in an hour of each agent. */
  readonly hours: number
  readonly samplesPerAgentHour: number | null
  readonly of: number
  readonly curve: readonly CurvePoint[]
  /** At the end. */
  readonly medianRank: number
  readonly ranks: readonly number[]
  /** Mean of what the derived architecture is short of the best, as the search is shown it; 0 to 1. */
  readonly regret: number
  /** Share of the seeds that evaluated the best, and the median number of evaluations of those until then. */
  readonly optimumShare: number
  readonly evaluationsToOptimum: number | null
  /** Beside the target latency; ranks, regret and the best are then among the architectures that keep them. */
  readonly bounds: readonly Pick<BoundConfig, 'cost' | 'atMost'>[]
  /** Share of the seeds whose derived architecture keeps them. */
  readonly keptShare: number
}

/** What was shown of an architecture, 0 to 1; of two the one that was trained for more epochs counts, then the more accurate one. */
type Shown = { readonly epochs: number; readonly valid: number; readonly test: number | null }

function shownOf(benchmark: RecordedBenchmark, { path, epochs }: Evaluation): Shown {
  const recorded = benchmark.read(path)
  const training = recordedTraining(benchmark, path, epochs ?? undefined)
  if (recorded === 'not-recorded' || training === 'not-recorded') throw new Error(`no record of ${path.join(' ')}, which was evaluated`)
  return { epochs: epochs ?? Number.POSITIVE_INFINITY, valid: mean(training.accuracies), test: recorded.test }
}

const isBetter = (one: Shown, other: Shown) => (one.epochs === other.epochs ? one.valid > other.valid : one.epochs > other.epochs)

/** Throws UnansweredError, and ProblemError where the configuration does not fit. */
async function simulateSeeds(options: SeedsOptions): Promise<Simulated> {
  const { benchmark, configOf, seeds, agents, budget, marks, onSeed } = options
  const config = configOf(seeds[0] as number)
  const bounds = addedBounds(boundContext(benchmark, config))
  const counts = (path: Path) => keeps(bounds, path)
  const ranking = createRanking(benchmark, counts)
  const simulate = (seed: number): SeedResult => {
    const left = [...marks]
    const found: Found[] = []
    let best: Shown | null = null
    let looked = 0
    let toOptimum: number | null = null
    const lookAt = (evaluations: number, hours: number, derive: () => number[]) => {
      if (!best) return
      const path = derive()
      const derived = benchmark.read(path)
      found.push({
        evaluations,
        valid: best.valid,
        test: best.test,
        hours,
        rank: ranking.rankOf(path),
        derivedValid: derived === 'not-recorded' || !counts(path) ? 0 : mean(derived.accuracies),
      })
    }
    const hoursOf = (made: readonly Evaluation[]) => (made.at(-1)?.atMs ?? 0) / MS_PER_HOUR
    const { evaluations, derive } = simulateSearch({
      benchmark,
      config: configOf(seed),
      agents,
      budget,
      onStep(made, deriveNow) {
        for (; looked < made.length; looked++) {
          const evaluation = made[looked] as Evaluation
          // What breaks a bound is no result, however good it is.
          if (!counts(evaluation.path)) continue
          const shown = shownOf(benchmark, evaluation)
          if (!best || isBetter(shown, best)) best = shown
          if (toOptimum === null && evaluation.epochs === null && shown.valid === ranking.best) toOptimum = looked + 1
        }
        while (left[0] !== undefined && made.length >= left[0]) lookAt(left.shift() as number, hoursOf(made), deriveNow)
      },
    })
    // A search that ended early has found what it has found.
    for (const mark of left) lookAt(mark, hoursOf(evaluations), derive)
    return { found, evaluations: evaluations.length, hours: hoursOf(evaluations), toOptimum, isKept: counts(derive()) }
  }
  const results: SeedResult[] = []
  for (const seed of seeds) {
    const result = simulate(seed)
    results.push(result)
    await onSeed?.(seed, result)
  }
  const curve = marks.map((evaluations, index): CurvePoint => {
    const at = results.map(({ found }) => found[index] as Found)
    const tests = at.flatMap(({ test }) => test ?? [])
    const hasTests = tests.length === at.length
    return {
      evaluations,
      valid: median(at.map(({ valid }) => valid)),
      test: hasTests ? median(tests) : null,
      testQ1: hasTests ? quantile(tests, 0.25) : null,
      testQ3: hasTests ? quantile(tests, 0.75) : null,
      validMean: mean(at.map(({ valid }) => valid)),
      testMean: hasTests ? mean(tests) : null,
      hours: mean(at.map(({ hours }) => hours)),
      medianRank: median(at.map(({ rank }) => rank)),
    }
  })
  const last = results.map(({ found }) => found.at(-1) as Found)
  const samples = mean(results.map(({ evaluations }) => evaluations))
  const hours = mean(results.map((result) => result.hours))
  const optima = results.flatMap(({ toOptimum }) => toOptimum ?? [])
  return {
    benchmark: benchmark.name,
    strategy: config.strategy.name,
    budget,
    seeds: seeds.length,
    agents,
    samples,
    hours,
    samplesPerAgentHour: hours > 0 ? samples / hours / agents : null,
    of: ranking.count,
    curve,
    medianRank: median(last.map(({ rank }) => rank)),
    ranks: last.map(({ rank }) => rank),
    regret: mean(last.map(({ derivedValid }) => ranking.best - derivedValid)),
    optimumShare: optima.length / results.length,
    evaluationsToOptimum: optima.length > 0 ? median(optima) : null,
    bounds: bounds.map(({ cost, atMost }) => ({ cost, atMost })),
    keptShare: mean(results.map(({ isKept }) => (isKept ? 1 : 0))),
  }
}

export { type CurvePoint, type SeedResult, type Simulated, simulateSeeds }
