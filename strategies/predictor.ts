// Predictor-based search after BRP-NAS (Dudziak et al. 2020): a ranking network (ranking-network.ts) learns to order pairs of what has been
// trained, ranks a pool of architectures, the first of which are trained next, and learns again with their results.
//
// Fits are made where results come in, and depend on results alone. Agents never wait for one: they train what the last fit has ranked.

import * as z from 'zod'
import { createRandom, type Random, seedState } from '../search-space/index.ts'
import { type Bounded, boundedBy, isWithin, neighboursOf, randomWithin } from './evolution.ts'
import { fitRankingNetwork } from './ranking-network.ts'
import { settingsOf } from './settings.ts'
import type { Strategy, StrategyContext } from './strategy.ts'
import { createTrialSearch, lastTrials, type Trial, trialShape } from './trial-search.ts'

/** The latest trials, which a fit is on: pairs grow with the square, and a Worker has seconds for a call. */
const MAX_EXAMPLES = 400
/** More are ranked than results come in until the next fit: some are out at the same time. */
const SPARE_RANKED = 64

const stateSchema = z.strictObject({
  ...trialShape,
  fits: z.int().min(0),
  /** Results that had come in when the last fit was made, and how many of them it was on. */
  fittedAt: z.int().min(0),
  examples: z.int().min(0),
  /** Best first, by the last fit. */
  ranked: z.array(z.strictObject({ path: z.array(z.int().min(0)), value: z.number() })),
  /** Of those ranked by the last fit that have been trained since: what it foretold, and what they came to. */
  foretold: z.array(z.strictObject({ value: z.number(), score: z.number() })),
  agreement: z.number().nullable(),
})
type State = z.infer<typeof stateSchema>

const settings = (context: StrategyContext) => settingsOf(context, 'predictor')

/** Share of pairs that have the same order by both; null where there are none. */
function pairAgreement(foretold: State['foretold']): number | null {
  let [same, pairs] = [0, 0]
  for (const [i, one] of foretold.entries()) {
    for (const other of foretold.slice(0, i)) {
      const order = (one.value - other.value) * (one.score - other.score)
      if (order === 0) continue
      pairs += 1
      if (order > 0) same += 1
    }
  }
  return pairs === 0 ? null : same / pairs
}

/** Architectures to rank, each once, none of them trained: random ones, and all neighbours of the best. */
function poolOf(bounded: Bounded, examples: readonly Trial[], best: readonly Trial[], size: number, random: Random): number[][] {
  const seen = new Set(examples.map(({ path }) => path.join()))
  const pool: number[][] = []
  const add = (path: number[] | null) => {
    if (!path || seen.has(path.join()) || !isWithin(bounded, path)) return
    seen.add(path.join())
    pool.push(path)
  }
  for (const { path } of best) for (const neighbour of neighboursOf(bounded.space, path, random)) add(neighbour)
  for (let i = 0; i < size; i++) add(randomWithin(bounded, random))
  return pool
}

function fit(state: State, context: StrategyContext): State {
  const { pool: size, every, hidden, epochs, learningRate, weightDecay } = settings(context)
  const { space, config, rows } = context
  const examples = lastTrials(rows, state, MAX_EXAMPLES)
  const options = space.decisions.map((decision) => decision.options.length)
  const start = seedState(`predictor ${state.scored}`, config.seed)
  const valueOf = fitRankingNetwork(examples, { options, hidden, epochs, learningRate, weightDecay }, start)
  const random = createRandom(seedState(`pool ${state.scored}`, config.seed))
  const ranked = poolOf(boundedBy(context), examples, state.best, size, random)
    .map((path) => ({ path, value: valueOf(path) }))
    .toSorted((a, b) => b.value - a.value)
    .slice(0, every + SPARE_RANKED)
  return {
    ...state,
    fits: state.fits + 1,
    fittedAt: state.scored,
    examples: examples.length,
    ranked,
    foretold: [],
    agreement: pairAgreement(state.foretold) ?? state.agreement,
  }
}

/** See strategy.ts and trial-search.ts. */
const predictor: Strategy<State> = createTrialSearch<State>({
  stateSchema,
  settings,
  start: (base) => ({ ...base, fits: 0, fittedAt: 0, examples: 0, ranked: [], foretold: [], agreement: null }),
  next(state, context, { known, random }) {
    if (state.fits === 0 || random.uniform() < settings(context).randomShare) return null
    const first = state.ranked.find(({ path }) => !known.has(path))
    return first ? { path: first.path, state } : null
  },
  learn(state, { path, score }, context) {
    const key = path.join()
    const ranked = state.ranked.find((entry) => entry.path.join() === key)
    const told = ranked ? { ...state, foretold: [...state.foretold, { value: ranked.value, score }] } : state
    const { starts, every } = settings(context)
    const isDue = state.scored >= starts && (state.fits === 0 || state.scored - state.fittedAt >= every)
    return isDue ? fit(told, context) : told
  },
  figures: ({ fits, examples, agreement }) => ({ predictions: { fits, examples, agreement } }),
})

export { pairAgreement, predictor }
