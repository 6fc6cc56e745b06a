// Local search (White et al. 2021, arXiv 2005.02960): from the best of some random architectures to the first neighbour, one decision away, that is
// better, as soon as it is found; where none is left, from another random one. The best of all is kept apart.

import * as z from 'zod'
import type { Random, Space } from '../search-space/index.ts'
import { isWithin } from './evolution.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, trialSchema, trialShape } from './trial-search.ts'

const stateSchema = z.strictObject({
  ...trialShape,
  /** Where it is; null before there was a result, and where it starts anew. */
  current: trialSchema.nullable(),
  /** Neighbours of `current` that have not been tried from there, in random order. */
  neighbours: z.array(z.array(z.int().min(0))),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'local-search')

/** All architectures that differ in one decision, in random order. */
function neighboursOf({ decisions }: Space, path: readonly number[], random: Random): number[][] {
  const all = decisions.flatMap(({ options }, decision) =>
    options.flatMap((_, option) => (option === path[decision] ? [] : [path.with(decision, option)])),
  )
  return random.shuffle(all.map((_, index) => index)).map((index) => all[index] as number[])
}

/** See strategy.ts and trial-search.ts. */
const localSearch: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, current: null, neighbours: [] }),
  next(state, context, { bounded, known }) {
    if (state.proposed < settings(context).starts) return null
    const index = state.neighbours.findIndex((path) => !known.has(path) && isWithin(bounded, path))
    const path = state.neighbours[index]
    if (path) return { path, state: { ...state, neighbours: state.neighbours.slice(index + 1) } }
    return null
  },
  learn(state, trial, context, random) {
    const { current } = state
    const isStuck = current !== null && state.neighbours.length === 0 && state.proposed > settings(context).starts
    if (current !== null && !isStuck && trial.score <= current.score) return state
    return { ...state, current: trial, neighbours: neighboursOf(context.space, trial.path, random) }
  },
})

export { localSearch, neighboursOf }
