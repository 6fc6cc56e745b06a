// Regularised evolution (Real et al. 2019, arXiv 1802.01548): the population is what was measured last; each new architecture is the best of
// a random sample of it with one decision changed. With agents side by side it goes on as results come in.
//
// With selection by NSGA-II (nsga-2.ts) those live on, and are parents, that trade accuracy best against the costs of the settings.

import * as z from 'zod'
import type { Random, Space } from '../search-space/index.ts'
import { costOf } from './costs.ts'
import { broughtWithin, tryFor } from './evolution.ts'
import { compareStandings, type Objectives, type Standing, standings, survivors } from './nsga-2.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, type Trial, trialSchema, trialShape } from './trial-search.ts'

const stateSchema = z.strictObject({
  ...trialShape,
  /** Youngest last. */
  population: z.array(trialSchema),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'aging-evolution')

/** One decision of several options as another of them. */
function changeOne({ decisions }: Space, path: readonly number[], random: Random): number[] {
  const open = decisions.flatMap(({ options }, decision) => (options.length > 1 ? [{ decision, count: options.length }] : []))
  const chosen = open[random.integer(open.length)]
  if (!chosen) return [...path]
  const { decision, count } = chosen
  return path.with(decision, ((path[decision] as number) + 1 + random.integer(count - 1)) % count)
}

/** Accuracy, and each cost, as NSGA-II minimises them. */
function objectivesOf(context: StrategyContext, trials: readonly Trial[]): Objectives[] {
  const names = settings(context).costs ?? ['latencyMs']
  const costs = names.map((name, i) => costOf(context, name, `strategy.costs[${i}]`))
  return trials.map(({ path, score }) => [-score, ...costs.map(({ of }) => of(path))])
}

/** Below 0 where the first of two is the better parent; both are indices of the population. */
function comparison(context: StrategyContext, population: readonly Trial[]): (a: number, b: number) => number {
  if (settings(context).selection !== 'nsga-2') return (a, b) => (population[b] as Trial).score - (population[a] as Trial).score
  const all = standings(objectivesOf(context, population))
  return (a, b) => compareStandings(all[a] as Standing, all[b] as Standing)
}

/** The best of a sample without replacement; of equals the first. */
function bestOfSample(population: readonly Trial[], size: number, compare: (a: number, b: number) => number, random: Random): Trial {
  const order = random.shuffle(population.map((_, index) => index)).slice(0, size)
  return population[order.reduce((best, index) => (compare(index, best) < 0 ? index : best))] as Trial
}

/** Those that are alive when one more has its result. */
function livingOn(context: StrategyContext, trials: readonly Trial[]): Trial[] {
  const { selection, population } = settings(context)
  if (selection !== 'nsga-2') return trials.slice(-population)
  return survivors(objectivesOf(context, trials), population).map((index) => trials[index] as Trial)
}

/** Whether the next architecture is made from another, and is no random one. */
const hasParents = (state: State, context: StrategyContext) => state.proposed >= settings(context).population && state.population.length > 0

/** See strategy.ts and trial-search.ts. */
const agingEvolution: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start(base, context) {
    objectivesOf(context, [])
    return { ...base, population: [] }
  },
  next(state, context, { bounded, known, random }) {
    if (!hasParents(state, context)) return null
    const compare = comparison(context, state.population)
    const { sample } = settings(context)
    const path = tryFor(bounded, known, () => {
      const child = changeOne(context.space, bestOfSample(state.population, sample, compare, random).path, random)
      return broughtWithin(bounded, child, random)
    })
    return path && { path, state }
  },
  source(state, context, random) {
    if (!hasParents(state, context)) return null
    return bestOfSample(state.population, settings(context).sample, comparison(context, state.population), random).path
  },
  learn: (state, trial, context) => ({ ...state, population: livingOn(context, [...state.population, trial]) }),
})

export { agingEvolution }
