// What strategies have in common that train architectures one by one and want the best of them soonest: a number of trials, one to a task,
// on all agents side by side; the target latency as a hard bound; nothing trained twice. Which architecture is next, and what a
// result changes about that, is each strategy's own.

import * as z from 'zod'
import type { RankingView, Recipe, ResultOf, TrialWork } from '../protocol/index.ts'
import { createRandom, type Random, type RandomState, randomStateSchema, seedState } from '../search-space/index.ts'
import { refuseHours } from './budget.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { boundedBy, checkBound, cheapestPath, type Known, pathKey, randomWithin, tryFor } from './evolution.ts'
import { describeFronts, type Fronts, frontsSchema, withCandidates } from './pareto-fronts.ts'
import type { StrategyRows } from './rows.ts'
import {
  absorbScores,
  type Choosing,
  proposeMove,
  proposeWarmup,
  type ScoreSettings,
  type Scoring,
  scoringSchema,
  startScoring,
  takeWarm,
} from './scored-choice.ts'
import type { Strategy, StrategyContext } from './strategy.ts'

const pathSchema = z.array(z.int().min(0))
const trialSchema = z.strictObject({ path: pathSchema, score: z.number() })
type Trial = z.infer<typeof trialSchema>

/** Fields of the state of every such strategy. */
const trialShape = {
  random: randomStateSchema,
  proposed: z.int().min(0),
  ended: z.int().min(0),
  /** Proposed, and not back yet. */
  inFlight: z.array(pathSchema),
  /** Trained and measured; the others failed. */
  scored: z.int().min(0),
  /** The best of them, best first. */
  best: z.array(trialSchema),
  /** Left out by versions that did not keep them. */
  fronts: frontsSchema.optional(),
  /** Where the settings have scores. */
  scoring: scoringSchema.optional(),
}
type TrialState = {
  readonly random: RandomState
  readonly proposed: number
  readonly ended: number
  readonly inFlight: number[][]
  readonly scored: number
  readonly best: Trial[]
  readonly fronts?: Fronts | undefined
  readonly scoring?: Scoring | undefined
}

/** Beside a task: the number of its trial, and what its strategy keeps with it. */
const keptSchema = z.strictObject({ number: z.int(), kept: z.unknown().optional() })
type Kept = z.infer<typeof keptSchema>

type Next<State> = {
  readonly path: readonly number[]
  readonly state: State
  /** Default: `scratch`. */
  readonly start?: TrialWork['start']
  /** Plain JSON, for `learn`. */
  readonly kept?: unknown
}

/** What a strategy adds. */
type TrialSearch<State extends TrialState> = {
  readonly stateSchema: z.ZodType<State>
  settings(context: StrategyContext): { readonly trials: number; readonly recipe: Recipe; readonly scores?: ScoreSettings | undefined }
  start(base: TrialState, context: StrategyContext): State
  /** The next architecture, within the bound and not tried before; null where the strategy knows none: then it is a random one. */
  next(state: State, context: StrategyContext, choosing: Choosing): Next<State> | null
  /** Whether nothing can be proposed before a result comes. Only while something is outstanding. Default: never. */
  isWaiting?(state: State): boolean
  /** Whether trials may start from the weights of others, which are kept for that at their end. Default: false. */
  readonly isInherited?: boolean
  /** Numbers of the trials that others may start from, those that would be missed most first. */
  keeps?(state: State): number[]
  /** An architecture whose best-scored neighbour may be the next one (`scores.moves`); null where the strategy wants another. Default: null. */
  source?(state: State, context: StrategyContext, random: Random): readonly number[] | null
  /** Takes in what became of one. */
  learn(state: State, trial: Trial, context: StrategyContext, random: Random, kept: Kept): State
  /** What it shows beside the ranking: a function of results alone, so that a search can be replayed from its log. */
  figures?(state: State, context: StrategyContext): Pick<RankingView, 'policy' | 'predictions'>
}

const knownKey = (path: readonly number[]) => `known/${pathKey(path)}`

const TRIALS = 'trial/'
const trialKey = (number: number) => `${TRIALS}${String(number).padStart(6, '0')}`
const trialRowSchema = z.strictObject({ ...trialSchema.shape, seconds: z.number() })

/** Score of an architecture that has been trained; undefined where it has not, or where that came to nothing. */
function scoreOfKnown(rows: StrategyRows, path: readonly number[]): number | undefined {
  const number = rows.get(knownKey(path))
  const row = typeof number === 'number' ? rows.get(trialKey(number)) : undefined
  return row === undefined ? undefined : trialRowSchema.parse(row).score
}

/** The last of the trials that have a score, at most `most`, in the order in which they were proposed. */
function lastTrials(rows: StrategyRows, { ended }: Pick<TrialState, 'ended'>, most: number): Trial[] {
  // Of so many that have ended, the last ones have higher numbers than this.
  const after = ended > most ? trialKey(ended - most - 1) : ''
  return rows
    .scan(TRIALS, after, 2 * most)
    .slice(-most)
    .map(({ value }) => trialRowSchema.parse(value))
}

function createTrialSearch<State extends TrialState>(search: TrialSearch<State>): Strategy<State> {
  /** Whether nothing but scores without training is there yet, and more of them are to come. */
  const isWarmup = (state: State, context: StrategyContext) =>
    state.ended === 0 && (state.scoring?.scored ?? 0) < (search.settings(context).scores?.warmup ?? 0)

  return {
    stateSchema: search.stateSchema,
    init(context) {
      refuseHours(context)
      checkBound(boundedBy(context))
      const { scores } = search.settings(context)
      const base = { random: seedState('strategy', context.config.seed), proposed: 0, ended: 0, inFlight: [], scored: 0, best: [] }
      return search.start({ ...base, ...(scores && { scoring: startScoring(scores) }) }, context)
    },
    propose(state, context) {
      const { trials, recipe, scores } = search.settings(context)
      if (state.proposed >= trials) return { kind: 'done' }
      if (search.isWaiting?.(state)) return { kind: 'wait', isLong: true }
      const { rows } = context
      const random = createRandom(state.random)
      const bounded = boundedBy(context)
      const inFlight = new Set(state.inFlight.map((path) => path.join()))
      const known: Known = { has: (path) => inFlight.has(path.join()) || rows.get(knownKey(path)) !== undefined }
      const choosing = { bounded, known, random }
      let { scoring } = state
      let moved: readonly number[] | null = null
      if (scores && scoring) {
        const warm = proposeWarmup(scoring, scores, rows, choosing)
        const choice =
          warm.kind !== 'go'
            ? warm
            : proposeMove(warm.scoring, scores, rows, choosing, () => search.source?.(state, context, random) ?? null)
        if (choice.kind === 'wait') return choice
        if (choice.kind === 'ask') {
          const { work, private: kept } = choice
          return { kind: 'work', work, private: kept, state: { ...state, random: random.state(), scoring: choice.scoring } }
        }
        scoring = choice.scoring
        moved = choice.path
      }
      const chosen: Next<State> | null = moved ? { path: moved, state } : search.next(state, context, choosing)
      let path = chosen?.path ?? null
      if (!path && scoring) ({ path, scoring } = takeWarm(scoring, choosing))
      path ??= tryFor(bounded, known, () => randomWithin(bounded, random) ?? cheapestPath(bounded))
      // A space may have fewer architectures within the bound than trials were asked for.
      if (!path) return { kind: 'done' }
      const next = {
        ...(chosen?.state ?? state),
        random: random.state(),
        proposed: state.proposed + 1,
        inFlight: [...state.inFlight, [...path]],
        ...(scoring && { scoring }),
      }
      const { start = 'scratch', kept } = chosen ?? {}
      return {
        kind: 'work',
        work: {
          kind: 'trainArchitecture',
          path: [...path],
          start,
          recipe,
          seed: context.config.seed,
          trial: state.proposed,
          ...(search.isInherited && { isParent: true }),
        },
        private: { number: state.proposed, ...(kept !== undefined && { kept }) },
        state: next,
      }
    },
    absorb(state, assignment, outcome, context) {
      const { work, private: kept } = assignment
      if (work.kind === 'score') {
        const result = outcome.kind === 'failure' ? null : (outcome.result as ResultOf<'score'>)
        const { scoring } = state
        const scored = scoring ? { ...state, scoring: absorbScores(scoring, assignment, result, context.rows) } : state
        return result ? { kind: 'noted', state: scored } : { kind: 'given-up', series: 'validation', state: scored }
      }
      const { path } = work as Extract<typeof work, { kind: 'trainArchitecture' }>
      const ended = { ...state, ended: state.ended + 1, inFlight: state.inFlight.filter((other) => other.join() !== path.join()) }
      const own = keptSchema.parse(kept)
      const { number } = own
      const keeps = (of: State) => search.keeps && { keeps: search.keeps(of) }
      context.rows.put(knownKey(path), number)
      if (outcome.kind === 'failure') return { kind: 'given-up', series: 'validation', state: ended, ...keeps(ended) }
      const { validation, seconds } = outcome.result as ResultOf<'trainArchitecture'>
      // One that diverged has no accuracy to learn from.
      if (!validation) return { kind: 'stale', series: 'validation', state: ended, ...keeps(ended) }
      const { crossEntropy: loss, correct, images } = validation
      const trial: Trial = { path: [...path], score: correct / images }
      context.rows.put(trialKey(number), { ...trial, seconds })
      // Of equals the one that came first stays in front.
      const best = [...state.best, trial].toSorted((a, b) => b.score - a.score).slice(0, SHOWN)
      const random = createRandom(state.random)
      const fronts = withCandidates(state.fronts ?? [], [trial], context)
      const learnt = search.learn({ ...ended, scored: state.scored + 1, best, fronts }, trial, context, random, own)
      const metric = { loss, correct, images }
      return { kind: 'applied', series: 'validation', metric, state: { ...learnt, random: random.state() }, ...keeps(learnt) }
    },
    derive: (state, context) => [...(state.best[0]?.path ?? cheapestPath(boundedBy(context)))],
    phase(state, context) {
      if (state.ended + (state.scoring?.scored ?? 0) === 0) return 'waiting'
      return isWarmup(state, context) ? 'warmup' : 'searching'
    },
    describe(state, context) {
      const { trials, scores } = search.settings(context)
      const candidates = state.best.map(({ path, score }) => candidateOf(context, path, { score }))
      return {
        steps: isWarmup(state, context)
          ? { done: state.scoring?.scored ?? 0, total: scores?.warmup ?? 0, unit: 'scores' }
          : { done: state.ended, total: trials, unit: 'trainings' },
        best: candidates,
        view: { kind: 'ranking', score: 'accuracy', scored: state.scored, candidates, ...search.figures?.(state, context) },
        get fronts() {
          return describeFronts(state.fronts ?? [], context)
        },
      }
    },
  }
}

export { createTrialSearch, lastTrials, pathSchema, scoreOfKnown, type Trial, trialSchema, trialShape, type TrialState }
