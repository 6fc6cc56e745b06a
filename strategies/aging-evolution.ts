// Regularised evolution (Real et al. 2019, arXiv 1802.01548): the population is what was measured last; each new architecture is the best of
// a random sample of it with one decision changed. With agents side by side it goes on as results come in.

import * as z from 'zod'
import type { Random, Space } from '../search-space/index.ts'
import { tryFor } from './evolution.ts'
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

/** The best of a sample without replacement; of equals the first. */
function bestOfSample(population: readonly Trial[], size: number, random: Random): Trial | undefined {
  const order = random.shuffle(population.map((_, index) => index)).slice(0, size)
  return order
    .map((index) => population[index] as Trial)
    .reduce<Trial | undefined>((best, trial) => (best && best.score >= trial.score ? best : trial), undefined)
}

/** Whether the next architecture is made from another, and is no random one. */
const hasParents = (state: State, context: StrategyContext) => state.proposed >= settings(context).population && state.population.length > 0

function drawParent(state: State, context: StrategyContext, random: Random): readonly number[] {
  return (bestOfSample(state.population, settings(context).sample, random) as Trial).path
}

/** See strategy.ts and trial-search.ts. */
const agingEvolution: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, population: [] }),
  next(state, context, { bounded, known, random }) {
    if (!hasParents(state, context)) return null
    const path = tryFor(bounded, known, () => changeOne(context.space, drawParent(state, context, random), random))
    return path && { path, state }
  },
  source: (state, context, random) => (hasParents(state, context) ? drawParent(state, context, random) : null),
  learn: (state, trial, context) => ({ ...state, population: [...state.population, trial].slice(-settings(context).population) }),
})

export { agingEvolution }
