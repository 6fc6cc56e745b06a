// What searches have in common that train the weights of a supernet first, and then evaluate architectures with them: SPOS, One-Shot. How
// the weights are trained, and which architectures are evaluated, is each strategy's own. The target latency and all other bounds are hard: an
// architecture beyond one is never evaluated. Evaluations use the statistics of their own mini-batches in batch-norms, which is what
// re-estimating them for each candidate comes to.

import * as z from 'zod'
import {
  type Candidate,
  invalidField,
  MAX_TASK_STEPS,
  type ResultOf,
  type SearchView,
  type TaskOutcome,
  trainsWeights,
  type WeightWork,
} from '../protocol/index.ts'
import { createRandom, evenProbabilities, type Random, type RandomState, seedState } from '../search-space/index.ts'
import { refuseHours } from './budget.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { batchesOf, metricOf } from './evaluations.ts'
import { boundedBy, checkBound, cheapestPath, randomWithin, tryFor } from './evolution.ts'
import { describeFronts, withCandidates } from './pareto-fronts.ts'
import { ALONE, type Attendance, type FillSeat, untakenPlaces } from './rounds.ts'
import type { Absorbed, Assignment, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
import { absorbWeights, type PathPlan, proposeWeights, weightPhaseShape } from './weight-phase.ts'

const count = z.int().min(0)
const path = z.array(count)
const evaluatedSchema = z.strictObject({
  /** In the order in which candidates were made, from 0. */
  index: count,
  path,
  /** Accuracy, 0 to 1; null where nobody could evaluate it. */
  score: z.number().nullable(),
})
type Evaluated = z.infer<typeof evaluatedSchema>

const stateSchema = z.strictObject({
  ...weightPhaseShape,
  /** Generations that were begun. */
  generation: count,
  /** Of the last one: those that have not been handed out. */
  queue: z.array(path),
  /** Handed out, all generations together. */
  proposed: count,
  /** By `index`: everything that has come back. */
  evaluated: z.array(evaluatedSchema),
})
type SharedWeightState = z.infer<typeof stateSchema>

type SharedWeightSettings = {
  /** Architectures of a generation, and generations; what the first is not filled with otherwise is random. */
  readonly population: number
  readonly generations: number
  readonly images: number
  readonly candidatesPerTask: number
}

/** A generation in the making. */
type Generation = {
  /** Everything that was evaluated, best first. */
  readonly best: readonly Evaluated[]
  readonly random: Random
  /** Adds the first of what `make` gives that is within the bound and new; nothing where many are not. */
  add(make: () => number[]): boolean
}

/** What a strategy adds. */
type SharedWeightSearch = {
  settings(context: StrategyContext): SharedWeightSettings
  /** Throws ProblemError `invalid-request` where settings of its own make no sense. */
  check?(context: StrategyContext): void
  /** How weights are trained, where it is not on one uniform path for each mini-batch. */
  weights?(state: SharedWeightState, context: StrategyContext): Pick<PathPlan, 'isWhole' | 'mostSteps'> & { readonly fill: FillSeat }
  /** Makes architectures of others; the generation is filled up with random ones. */
  breed?(generation: Generation, context: StrategyContext): void
  view(state: SharedWeightState, candidates: Candidate[]): SearchView
}

/** Best first; of equals the one that was made first. */
function ranked({ evaluated }: SharedWeightState): Evaluated[] {
  return evaluated.filter(({ score }) => score !== null).toSorted((a, b) => (b.score as number) - (a.score as number))
}

const privateSchema = z.strictObject({ from: count, generation: count })

function createSharedWeightSearch(strategy: SharedWeightSearch): Strategy<SharedWeightState> {
  type State = SharedWeightState
  const { settings } = strategy

  /** Mini-batches that each architecture is evaluated on. */
  const batchesOfCandidate = (context: StrategyContext) => batchesOf(context, settings(context).images)

  const checkSettings = (context: StrategyContext) => {
    refuseHours(context)
    checkBound(boundedBy(context))
    strategy.check?.(context)
    const steps = settings(context).candidatesPerTask * batchesOfCandidate(context)
    if (steps > MAX_TASK_STEPS) {
      throw invalidField('strategy.candidatesPerTask', `expected at most ${MAX_TASK_STEPS} mini-batches in one task, got ${steps}`)
    }
  }

  /** The architectures of the next generation; fewer than the population where the bound leaves no others. */
  const nextGeneration = (state: State, context: StrategyContext, random: Random): number[][] => {
    const { population } = settings(context)
    const bounded = boundedBy(context)
    const names = new Set(state.evaluated.map((candidate) => candidate.path.join()))
    const known = { has: (candidate: readonly number[]) => names.has(candidate.join()) }
    const made: number[][] = []
    const add = (make: () => number[]) => {
      const found = tryFor(bounded, known, make)
      if (!found) return false
      names.add(found.join())
      made.push(found)
      return true
    }
    strategy.breed?.({ best: ranked(state), random, add }, context)
    while (made.length < population && add(() => randomWithin(bounded, random) ?? cheapestPath(bounded)));
    return made
  }

  const evaluateNext = (state: State, context: StrategyContext): Proposal<State> => {
    const { generations, candidatesPerTask } = settings(context)
    let { queue, generation } = state
    const random = createRandom(state.random as RandomState)
    if (queue.length === 0) {
      // The next generation is made from all of the last one.
      if (state.evaluated.length < state.proposed) return { kind: 'wait' }
      if (generation >= generations) return { kind: 'done' }
      queue = nextGeneration(state, context, random)
      generation += 1
      if (queue.length === 0) return { kind: 'done' }
    }
    const paths = queue.slice(0, candidatesPerTask)
    const next = { queue: queue.slice(paths.length), generation, proposed: state.proposed + paths.length, random: random.state() }
    return {
      kind: 'work',
      work: { kind: 'evaluatePaths', paths, batches: { first: 0, count: batchesOfCandidate(context) } },
      private: { from: state.proposed, generation },
      state: { ...state, ...next },
    }
  }

  const weightSteps = (state: State, context: StrategyContext, attendance: Attendance): Proposal<State> => {
    const { steps } = context.config.training
    const { fill, ...more } = strategy.weights?.(state, context) ?? {}
    const plan = () => ({
      probabilities: evenProbabilities(context.space),
      uniform: true,
      end: steps,
      ...more,
    })
    return proposeWeights(state, context, attendance, plan, state.weightStepsProposed >= steps, fill) ?? { kind: 'wait' }
  }

  return {
    stateSchema,
    init(context) {
      checkSettings(context)
      return {
        random: seedState('strategy', context.config.seed),
        weightStepsProposed: 0,
        weightStepsDone: 0,
        batchesProposed: 0,
        rounds: [],
        generation: 0,
        queue: [],
        proposed: 0,
        evaluated: [],
      }
    },
    propose(state, context, attendance: Attendance = ALONE) {
      const rounds = state.rounds ?? []
      if (state.weightStepsProposed < context.config.training.steps || untakenPlaces(rounds).length > 0) {
        return weightSteps(state, context, attendance)
      }
      // Weights that are still being trained would make the first candidates look worse than the last.
      const isTraining = attendance.outstanding.some(({ taskId }) =>
        rounds.some(({ seats }) => seats.some((seat) => seat.taskId === taskId)),
      )
      return isTraining ? { kind: 'wait' } : evaluateNext(state, context)
    },
    absorb(state, { work, private: kept }: Assignment, outcome: TaskOutcome): Absorbed<State> {
      if (trainsWeights(work)) {
        if (outcome.kind === 'failure') return { kind: 'given-up', series: 'training', state }
        return absorbWeights(state, work, outcome.result as ResultOf<WeightWork['kind']>)
      }
      const { from, generation } = privateSchema.parse(kept)
      const { paths } = work as Extract<typeof work, { kind: 'evaluatePaths' }>
      const answers = outcome.kind === 'failure' ? [] : (outcome.result as ResultOf<'evaluatePaths'>).paths
      const own = paths.map((candidate, i): Evaluated => {
        const answer = answers[i]
        return { index: from + i, path: candidate, score: answer ? answer.correct / answer.images : null }
      })
      const evaluated = [...state.evaluated, ...own].toSorted((a, b) => a.index - b.index)
      const next = { ...state, evaluated, generation: Math.max(state.generation, generation) }
      if (outcome.kind === 'failure') return { kind: 'given-up', series: 'validation', state: next }
      return { kind: 'applied', series: 'validation', metric: metricOf(answers), state: next }
    },
    derive: (state, context) => ranked(state)[0]?.path ?? cheapestPath(boundedBy(context)),
    describe(state, context): Description {
      const { steps } = context.config.training
      const { population, generations } = settings(context)
      const isTraining = state.evaluated.length === 0
      const scored = ranked(state).map(({ path: found, score }) => ({ path: found, score: score as number }))
      const candidates = scored.slice(0, SHOWN).map(({ path: found, score }) => candidateOf(context, found, { score }))
      return {
        phase: state.weightStepsDone + state.evaluated.length === 0 ? 'waiting' : isTraining ? 'warmup' : 'searching',
        steps: isTraining
          ? { done: Math.round(state.weightStepsDone), total: steps, unit: 'steps' }
          : { done: state.evaluated.length, total: population * generations, unit: 'architectures' },
        best: candidates,
        view: strategy.view(state, candidates),
        get fronts() {
          return describeFronts(withCandidates([], scored, context), context)
        },
      }
    },
  }
}

export { createSharedWeightSearch, type Evaluated, type SharedWeightState }
