// Local search (White et al. 2021, arXiv 2005.02960): from the best of some random architectures to the first neighbour, one decision away,
// that is better, as soon as it is found. What is better within a bound is often an exchange, so that neighbours two decisions away come
// after them where a bound leaves no single change. Where all neighbours have been tried it goes on from the next best architecture whose
// have not, where the paper begins anew: after that from a random one, when the best few are exhausted.

import * as z from 'zod'
import type { Random } from '../search-space/index.ts'
import { type Bounded, boundedBy, isWithin, neighboursOf } from './evolution.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, pathSchema, trialSchema, trialShape } from './trial-search.ts'

/** Of one architecture, at most: they are stored with the state. */
const MAX_NEIGHBOURS = 300

const stateSchema = z.strictObject({
  ...trialShape,
  /** Where it is; null before there was a result, and where it starts anew. */
  current: trialSchema.nullable(),
  /** Neighbours of `current` that have not been tried from there. */
  neighbours: z.array(pathSchema),
  /** Of `best`, those whose neighbours have all been tried; left out by versions that went on elsewhere then. */
  exhausted: z.array(pathSchema).optional(),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'local-search')

/** One decision away, in random order, and then two away where one of the two changes alone would break a bound. */
function neighboursWithin(bounded: Bounded, path: readonly number[], random: Random): number[][] {
  const single = neighboursOf(bounded.space, path, random)
  const within = single.filter((other) => isWithin(bounded, other))
  const exchanges = new Map<string, number[]>()
  for (const broken of single.filter((other) => !isWithin(bounded, other))) {
    for (const other of neighboursOf(bounded.space, broken, random)) {
      if (within.length + exchanges.size >= MAX_NEIGHBOURS) break
      if (other.join() !== path.join() && isWithin(bounded, other)) exchanges.set(other.join(), other)
    }
  }
  const found = [...exchanges.values()]
  return [...within, ...random.shuffle(found.map((_, index) => index)).map((index) => found[index] as number[])]
}

/** See strategy.ts and trial-search.ts. */
const localSearch: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, current: null, neighbours: [], exhausted: [] }),
  next(state, context, { bounded, known, random }) {
    if (state.proposed < settings(context).starts) return null
    let { current, neighbours } = state
    const exhausted = new Set((state.exhausted ?? []).map((path) => path.join()))
    while (current) {
      const index = neighbours.findIndex((path) => !known.has(path) && isWithin(bounded, path))
      const path = neighbours[index]
      if (path) {
        const left = state.best.map((trial) => trial.path).filter((other) => exhausted.has(other.join()))
        return { path, state: { ...state, current, neighbours: neighbours.slice(index + 1), exhausted: left } }
      }
      exhausted.add(current.path.join())
      current = state.best.find((trial) => !exhausted.has(trial.path.join())) ?? null
      neighbours = current ? neighboursWithin(bounded, current.path, random) : []
    }
    return null
  },
  source: (state, context) => (state.proposed < settings(context).starts ? null : (state.current?.path ?? null)),
  learn(state, trial, context, random) {
    const { current } = state
    if (current && trial.score <= current.score) return state
    return { ...state, current: trial, neighbours: neighboursWithin(boundedBy(context), trial.path, random) }
  },
})

export { localSearch }
