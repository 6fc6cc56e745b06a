// What searches have in common that train the weights of a supernet first, and then evaluate architectures with them: SPOS, One-Shot. How
// the weights are trained, and which architectures are evaluated, is each strategy's own. The target latency and all other bounds are hard: an
// architecture beyond one is never evaluated. Evaluations use the statistics of their own mini-batches in batch-norms, which is what
// re-estimating them for each candidate comes to.
//
// A search may have several stages, each with its share of the weight steps and of the generations: training, then evaluations, then the
// next stage, with the weights as they are and with what the last one has found. Scores of different stages are of different weights, and
// are not held against each other.

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
  type WorkOf,
} from '../protocol/index.ts'
import { createRandom, evenProbabilities, type Random, type RandomState, seedState } from '../search-space/index.ts'
import { refuseHours } from './budget.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { batchesOf, metricOf } from './evaluations.ts'
import { type Bounded, boundedBy, checkBound, cheapestPath, collectOthers, isWithin, randomWithin } from './evolution.ts'
import { describeFronts, withCandidates } from './pareto-fronts.ts'
import { ALONE, type Attendance, type FillSeat, untakenPlaces } from './rounds.ts'
import { checkSmoothing, smoothScores } from './smoothing.ts'
import type { Absorbed, Assignment, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
import { absorbWeights, type PathPlan, proposeWeights, weightPhaseShape } from './weight-phase.ts'

const count = z.int().min(0)
const path = z.array(count)
const evaluatedSchema = z.strictObject({
  /** In the order in which candidates were made, from 0. */
  index: count,
  path,
  /** What architectures are compared by, more is better: accuracy is from 0 to 1. Null where nobody could evaluate it. */
  score: z.number().nullable(),
})
type Evaluated = z.infer<typeof evaluatedSchema>
type ScoredCandidate = Evaluated & { readonly score: number }

/** After the first stage: which one this is, from 1, the `index` of its first candidate, and what the one before has found. */
const stageSchema = z.strictObject({ number: z.int().min(1), from: count, fixed: path })

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
  stage: stageSchema.optional(),
})
type SharedWeightState = z.infer<typeof stateSchema>

type ScoreKind = 'accuracy' | 'log-likelihood' | 'batch-norms'

type SharedWeightSettings = {
  /** Architectures of a generation, and generations; what the first is not filled with otherwise is random. */
  readonly population: number
  /** Of the first generation of a stage; default: `population`. */
  readonly firstGeneration?: number | undefined
  readonly generations: number
  readonly images: number
  readonly candidatesPerTask: number
  /** Default 1. */
  readonly stages?: number | undefined
  /** What architectures are compared by; default: accuracy. */
  readonly score?: ScoreKind | undefined
  /** Part of a score that a regression on the options of all that were evaluated says, in place of what was measured; default: 0. */
  readonly smoothing?: number | undefined
}

/** A generation in the making. */
type Generation = {
  /** Everything that was evaluated in this stage, best first. */
  readonly best: readonly ScoredCandidate[]
  readonly bounded: Bounded
  readonly random: Random
  /** Adds the first of what `make` gives that is within the bound and new; nothing where many are not. */
  add(make: () => number[]): boolean
}

/** What a strategy adds. */
type SharedWeightSearch = {
  settings(context: StrategyContext): SharedWeightSettings
  /** Throws ProblemError `invalid-request` where settings of its own make no sense. */
  check?(context: StrategyContext): void
  /**
   * The options that a stage, numbered from 0, trains and searches, where they are not all; `fixed`: what the stage before has found. Of
   * equal arguments always the same.
   */
  options?(context: StrategyContext, stage: number, fixed: readonly number[] | undefined): Bounded['options']
  /** How weights are trained, where it is not on one uniform path for each mini-batch. */
  weights?(
    state: SharedWeightState,
    context: StrategyContext,
  ): Partial<Pick<PathPlan, 'isWhole' | 'mostSteps' | 'end' | 'position'>> & { readonly fill: FillSeat }
  /** Makes architectures of others; the generation is filled up with random ones. */
  breed?(generation: Generation, context: StrategyContext): void
  view(state: SharedWeightState, candidates: Candidate[], context: StrategyContext): SearchView
}

const stageOf = ({ stage }: SharedWeightState) => stage ?? { number: 0, from: 0, fixed: undefined }

/** Of architectures of this stage. */
function hasNoScores(state: SharedWeightState): boolean {
  const { from } = stageOf(state)
  return state.evaluated.every(({ index }) => index < from)
}

/** Those of this stage, best first by their smoothed scores; of equals the one that was made first. */
function ranked(state: SharedWeightState, { space }: StrategyContext, smoothing = 0, from = stageOf(state).from): ScoredCandidate[] {
  const scored = state.evaluated.flatMap(({ score, ...rest }) => (rest.index >= from && score !== null ? [{ ...rest, score }] : []))
  const smoothed = smoothScores(scored, space, smoothing)
  return scored
    .map((candidate, i) => ({ candidate, value: smoothed[i] as number }))
    .toSorted((one, other) => other.value - one.value)
    .map(({ candidate }) => candidate)
}

/** Architectures of all generations. */
function candidatesOf({
  population,
  firstGeneration = population,
  generations,
  stages = 1,
}: Pick<SharedWeightSettings, 'population' | 'firstGeneration' | 'generations' | 'stages'>): number {
  return stages * firstGeneration + (generations - stages) * population
}

/** Of so many weight steps or generations, those until the end of a stage. */
function shareUntil(all: number, { stages = 1 }: Pick<SharedWeightSettings, 'stages'>, stage: number): number {
  return Math.round((all * (stage + 1)) / stages)
}

function laterStage(one: SharedWeightState['stage'], other: SharedWeightState['stage']): SharedWeightState['stage'] {
  return (other?.number ?? 0) > (one?.number ?? 0) ? other : one
}

function scoresOf(result: ResultOf<'evaluatePaths' | 'batchNormScales'>, score: ScoreKind = 'accuracy'): readonly number[] {
  if (result.kind === 'batchNormScales') return result.scales
  return result.paths.map(({ correct, images, crossEntropy }) => (score === 'log-likelihood' ? -crossEntropy : correct / images))
}

const privateSchema = z.strictObject({ from: count, generation: count, stage: stageSchema.optional() })

function createSharedWeightSearch(strategy: SharedWeightSearch): Strategy<SharedWeightState> {
  type State = SharedWeightState
  const { settings } = strategy

  /** Mini-batches that each architecture is evaluated on. */
  const batchesOfCandidate = (context: StrategyContext) => batchesOf(context, settings(context).images)

  /** What architectures of this stage have to keep to. */
  const boundedIn = (state: Pick<State, 'stage'>, context: StrategyContext): Bounded => {
    const { number, fixed } = stageOf(state as State)
    return { ...boundedBy(context), options: strategy.options?.(context, number, fixed) }
  }

  const rankedIn = (state: State, context: StrategyContext, from?: number) => ranked(state, context, settings(context).smoothing, from)

  const checkSettings = (context: StrategyContext) => {
    refuseHours(context)
    checkBound(boundedBy(context))
    strategy.check?.(context)
    const bounded = boundedIn({}, context)
    if (bounded.options && !isWithin(bounded, cheapestPath(bounded))) {
      throw invalidField('strategy.preselect', 'expected options of which an architecture is within the target latency and all bounds')
    }
    checkSmoothing(context.space, settings(context).smoothing ?? 0, 'strategy.smoothing')
    const steps = settings(context).candidatesPerTask * batchesOfCandidate(context)
    if (steps > MAX_TASK_STEPS) {
      throw invalidField('strategy.candidatesPerTask', `expected at most ${MAX_TASK_STEPS} mini-batches in one task, got ${steps}`)
    }
  }

  /** The architectures of the next generation; fewer than the population where the bound leaves no others. */
  const nextGeneration = (state: State, context: StrategyContext, random: Random): number[][] => {
    const bounded = boundedIn(state, context)
    const { from, fixed } = stageOf(state)
    const { population, firstGeneration = population } = settings(context)
    const wanted = state.proposed === from ? firstGeneration : population
    const known = state.evaluated.filter(({ index }) => index >= from).map((candidate) => candidate.path)
    const { made, add } = collectOthers(bounded, known)
    if (fixed && state.proposed === from) add(() => [...fixed])
    strategy.breed?.({ best: rankedIn(state, context), bounded, random, add }, context)
    while (made.length < wanted && add(() => randomWithin(bounded, random) ?? cheapestPath(bounded)));
    return made
  }

  const derive = (state: State, context: StrategyContext) =>
    rankedIn(state, context)[0]?.path ?? stageOf(state).fixed ?? cheapestPath(boundedIn(state, context))

  /** Evaluations for the one that asks; null at the end of the stage. */
  const evaluateNext = (state: State, context: StrategyContext): Proposal<State> | null => {
    const { generations, candidatesPerTask, score, ...rest } = settings(context)
    let { queue, generation } = state
    const random = createRandom(state.random as RandomState)
    if (queue.length === 0) {
      // The next generation is made from all of the last one.
      if (state.evaluated.length < state.proposed) return { kind: 'wait' }
      if (generation >= shareUntil(generations, rest, stageOf(state).number)) return null
      queue = nextGeneration(state, context, random)
      generation += 1
      if (queue.length === 0) return null
    }
    const paths = queue.slice(0, candidatesPerTask)
    const next = { queue: queue.slice(paths.length), generation, proposed: state.proposed + paths.length, random: random.state() }
    return {
      kind: 'work',
      work:
        score === 'batch-norms'
          ? { kind: 'batchNormScales', paths }
          : { kind: 'evaluatePaths', paths, batches: { first: 0, count: batchesOfCandidate(context) } },
      private: { from: state.proposed, generation, ...(state.stage && { stage: state.stage }) },
      state: { ...state, ...next },
    }
  }

  /** Weight steps at the end of the stage. */
  const stepsUntil = (state: State, context: StrategyContext) =>
    shareUntil(context.config.training.steps, settings(context), stageOf(state).number)

  const weightSteps = (state: State, context: StrategyContext, attendance: Attendance): Proposal<State> => {
    const end = stepsUntil(state, context)
    const { fill, ...more } = strategy.weights?.(state, context) ?? {}
    const plan = () => ({
      probabilities: evenProbabilities(context.space),
      uniform: true,
      options: boundedIn(state, context).options,
      end,
      ...more,
    })
    return proposeWeights(state, context, attendance, plan, state.weightStepsProposed >= end, fill) ?? { kind: 'wait' }
  }

  const propose = (state: State, context: StrategyContext, attendance: Attendance): Proposal<State> => {
    const rounds = state.rounds ?? []
    if (state.weightStepsProposed < stepsUntil(state, context) || untakenPlaces(rounds).length > 0) {
      return weightSteps(state, context, attendance)
    }
    // Weights that are still being trained would make the first candidates look worse than the last.
    const isTraining = attendance.outstanding.some(({ taskId }) => rounds.some(({ seats }) => seats.some((seat) => seat.taskId === taskId)))
    const proposal = isTraining ? ({ kind: 'wait' } as const) : evaluateNext(state, context)
    if (proposal) return proposal
    const { stages = 1, generations } = settings(context)
    const { number } = stageOf(state)
    if (number + 1 >= stages) return { kind: 'done' }
    const generation = shareUntil(generations, { stages }, number)
    const stage = { number: number + 1, from: state.proposed, fixed: [...derive(state, context)] }
    return propose({ ...state, generation, stage }, context, attendance)
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
    propose: (state, context, attendance: Attendance = ALONE) => propose(state, context, attendance),
    absorb(state, { work, private: kept }: Assignment, outcome: TaskOutcome, context: StrategyContext): Absorbed<State> {
      if (trainsWeights(work)) {
        if (outcome.kind === 'failure') return { kind: 'given-up', series: 'training', state }
        return absorbWeights(state, work, outcome.result as ResultOf<WeightWork['kind']>)
      }
      const { from, generation, stage } = privateSchema.parse(kept)
      const { paths } = work as WorkOf<'evaluatePaths' | 'batchNormScales'>
      const result = outcome.kind === 'failure' ? null : (outcome.result as ResultOf<'evaluatePaths' | 'batchNormScales'>)
      const scores = result && scoresOf(result, settings(context).score)
      const own = paths.map((candidate, i): Evaluated => ({ index: from + i, path: candidate, score: scores?.[i] ?? null }))
      const evaluated = [...state.evaluated, ...own].toSorted((a, b) => a.index - b.index)
      // In a replay from the log, nothing has been handed out.
      const next = { ...state, evaluated, generation: Math.max(state.generation, generation), stage: laterStage(state.stage, stage) }
      if (!result) return { kind: 'given-up', series: 'validation', state: next }
      if (result.kind === 'batchNormScales') return { kind: 'noted', state: next }
      return { kind: 'applied', series: 'validation', metric: metricOf(result.paths), state: next }
    },
    derive: (state, context) => [...derive(state, context)],
    phase(state) {
      if (state.weightStepsDone + state.evaluated.length === 0) return 'waiting'
      return hasNoScores(state) ? 'warmup' : 'searching'
    },
    describe(state, context): Description {
      const { steps } = context.config.training
      const { score: compared = 'accuracy' } = settings(context)
      const isTraining = hasNoScores(state)
      // Until a stage has scores of its own, those of the one before are shown.
      const scored = rankedIn(state, context, isTraining ? 0 : stageOf(state).from).map(({ path: found, score }) => ({
        path: found,
        score,
      }))
      const candidates = scored.slice(0, SHOWN).map(({ path: found, score }) => candidateOf(context, found, { score }))
      return {
        steps: isTraining
          ? { done: Math.round(state.weightStepsDone), total: steps, unit: 'steps' }
          : { done: state.evaluated.length, total: candidatesOf(settings(context)), unit: 'architectures' },
        best: candidates,
        view: strategy.view(state, candidates, context),
        get fronts() {
          return compared === 'accuracy' ? describeFronts(withCandidates([], scored, context), context) : undefined
        },
      }
    },
  }
}

export { candidatesOf, createSharedWeightSearch, type Evaluated, type Generation, type SharedWeightState }
