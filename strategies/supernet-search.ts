// What searches on one supernet with a distribution over each block's operations have in common: a warm-up of weight steps on
// uniform paths, then rounds of weight steps on sampled paths with architecture steps between them, and now and then an
// evaluation of the most probable architecture. What an architecture step is, and what its result does to alpha, is each
// strategy's own. Steps are handed out in tasks of several, so what one sees of alpha may be some tasks old.

import * as z from 'zod'
import { expectedLatencyMs } from '../latency-lut/table/coverage.ts'
import {
  type Candidate,
  type DistributionView,
  invalidField,
  MAX_ALPHA,
  type MetricSeries,
  type ResultOf,
  type TaskOutcome,
  type TaskResult,
  trainsWeights,
  type TaskWork,
  type WeightWork,
} from '../protocol/index.ts'
import { createRandom, evenProbabilities, type Random, type RandomState, seedState } from '../search-space/index.ts'
import { addedBounds, checkBounds, mostProbableKeeping } from './bounds.ts'
import { clockSchema, millisecondsLeft, readClock, shareOfHours } from './budget.ts'
import { candidateOf, SHOWN } from './candidates.ts'
import { entropy, softmax } from './distribution.ts'
import { entropyPull, type EntropySchedule } from './entropy-schedule.ts'
import { metricOf } from './evaluations.ts'
import {
  absorbFinalists,
  awaitsSecondRound,
  checkFinalists,
  chooseFinalists,
  type Finalists,
  type FinalistSettings,
  finalistsFrom,
  finalistsSchema,
  proposeFinalists,
  rankedFinalists,
  withSecondRound,
} from './finalists.ts'
import { derivableGroups, drawWithin, groupsOf, marginals, mostProbable, totalEntropy } from './joint-distribution.ts'
import { describeFronts, type Fronts } from './pareto-fronts.ts'
import { drawPath } from './parts.ts'
import { ALONE, type Attendance, type FillSeat, untakenPlaces } from './rounds.ts'
import { type DrawPath, fillWithPaths } from './seat-steps.ts'
import type { Absorbed, Assignment, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'
import { absorbWeights, type PathPlan, proposeWeights, weightPhaseShape } from './weight-phase.ts'

const DEFAULT_WARMUP_SHARE = 0.1

const count = z.int().min(0)
const rows = z.array(z.array(z.number()))

/** Fields of the state of every such strategy. */
const supernetShape = {
  ...weightPhaseShape,
  alpha: rows,
  firstMoment: rows,
  secondMoment: rows,
  steps: z.array(count),
  alphaVersion: count,
  entropyStart: z.number(),
  architectureStepsProposed: count,
  architectureStepsDone: count,
  /** Whose results came too late; absent: none. */
  architectureStepsDropped: count.optional(),
  /** Architecture tasks that may be out, with the version of alpha that they are of; absent: none. */
  architectureOut: z.array(z.strictObject({ taskId: z.int(), alphaVersion: count })).optional(),
  skippedBlocks: count,
  evaluationsProposed: count,
  /** Of a search by hours, like the next two; absent in others. */
  clock: clockSchema.optional(),
  /** Effective steps that had been handed out when the warm-up ended; absent before. */
  warmupEnd: z.number().min(0).optional(),
  /** Of the newest weight steps that are done, in `training.steps`. */
  positionDone: z.number().min(0).optional(),
  /** Absent before all steps have come back, and in searches without. */
  finalists: finalistsSchema.optional(),
  /** Decisions that each row of alpha is of; absent: one each (joint-distribution.ts). */
  groups: z.array(z.array(count)).optional(),
}
const supernetStateSchema = z.strictObject(supernetShape)
type SupernetState = z.infer<typeof supernetStateSchema>

type SupernetSettings = {
  readonly warmupSteps?: number | undefined
  readonly warmupShare?: number | undefined
  readonly archEvery: number
  readonly initialDeviation: number
  readonly initialAlpha?: readonly (readonly number[])[] | undefined
  readonly evaluateEvery: number
  readonly evaluateImages: number
  /** Versions of alpha that a result of an architecture step may be behind. */
  readonly maxStaleness: number
  readonly entropy?: EntropySchedule | undefined
  readonly finalists?: FinalistSettings | undefined
}

type ArchitectureWork = { readonly firstStep: number; readonly steps: number; readonly random: Random }

/** What a strategy adds. */
type ArchitectureSteps<State extends SupernetState> = {
  readonly stateSchema: z.ZodType<State>
  settings(context: StrategyContext): SupernetSettings
  /** The state to start with. Throws ProblemError `invalid-request` where the configuration does not fit the space. */
  start(base: SupernetState, context: StrategyContext): State
  /** How many architecture steps one task has. */
  stepsOfTask(state: State, context: StrategyContext, attendance: Attendance): number
  propose(state: State, context: StrategyContext, work: ArchitectureWork): Assignment
  /** Takes in the result of what `propose` gave. `isStale` says that it is too old to be used. */
  absorb(
    state: State,
    assignment: Assignment,
    result: TaskResult,
    context: StrategyContext,
  ):
    | { readonly kind: 'stale' }
    | { readonly kind: 'applied'; readonly state: State; readonly loss: number; readonly correct: number; readonly images: number }
  /** How weights are trained, where it is not on one sampled path for each mini-batch. */
  weights?(state: State, context: StrategyContext, draw: DrawPath): Pick<PathPlan, 'isWhole' | 'mostSteps'> & { readonly fill: FillSeat }
  /** The state after a weight task that has been taken in otherwise. */
  learnt?(state: State, result: ResultOf<WeightWork['kind']>, context: StrategyContext): State
  /** What its view of the distribution has beside the rest. */
  shows?(state: State): Pick<DistributionView, 'effectiveSamples' | 'effectiveWeightSamples'>
  /** Of a strategy that evaluates candidates. */
  frontsOf?(state: State): Fronts
  /** Architecture steps that an assignment stands for; null where it is none. */
  stepsOf(work: TaskWork): number | null
}

function meanEntropy(alpha: readonly (readonly number[])[]): number {
  return alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0) / alpha.length
}

function startingAlpha(context: StrategyContext, { initialAlpha, initialDeviation }: SupernetSettings, random: Random): number[][] {
  const { decisions } = context.space
  if (!initialAlpha) return decisions.map(({ options }) => options.map(() => random.normal() * initialDeviation))
  if (initialAlpha.length !== decisions.length) {
    throw invalidField('strategy.initialAlpha', `expected ${decisions.length} rows, one per decision, got ${initialAlpha.length}`)
  }
  for (const [index, { name, options }] of decisions.entries()) {
    const got = initialAlpha[index]?.length
    if (got !== options.length) {
      const message = `expected ${options.length} numbers, one per option of ${name}, got ${got}`
      throw invalidField(`strategy.initialAlpha[${index}]`, message)
    }
  }
  return initialAlpha.map((row) => [...row])
}

function startingState(context: StrategyContext, settings: SupernetSettings): SupernetState {
  const random = createRandom(seedState('strategy', context.config.seed))
  const alpha = startingAlpha(context, settings, random)
  const zeros = alpha.map((row) => row.map(() => 0))
  return {
    random: random.state(),
    batchesProposed: 0,
    rounds: [],
    alpha,
    firstMoment: zeros,
    secondMoment: zeros,
    steps: alpha.map(() => 0),
    alphaVersion: 0,
    entropyStart: meanEntropy(alpha),
    weightStepsProposed: 0,
    weightStepsDone: 0,
    architectureStepsProposed: 0,
    architectureStepsDone: 0,
    skippedBlocks: 0,
    evaluationsProposed: 0,
  }
}

const shareOfWarmup = ({ warmupShare }: SupernetSettings) => warmupShare ?? DEFAULT_WARMUP_SHARE

/** Effective steps of the warm-up; of a search by hours that has not come to its end, all there may be. */
function warmupSteps(state: SupernetState, { config }: StrategyContext, settings: SupernetSettings): number {
  const { steps, hours } = config.training
  if (hours !== undefined) return settings.warmupSteps ?? state.warmupEnd ?? Number.POSITIVE_INFINITY
  return Math.min(steps, settings.warmupSteps ?? Math.round(steps * shareOfWarmup(settings)))
}

/** The state at the moment at which an agent asks. */
function atTime<State extends SupernetState>(
  state: State,
  context: StrategyContext,
  settings: SupernetSettings,
  attendance: Attendance,
): State {
  const clock = readClock(context, state.clock, attendance)
  if (!clock) return state
  const isWarm = (shareOfHours(context, clock) ?? 0) >= shareOfWarmup(settings)
  return { ...state, clock, ...(isWarm && state.warmupEnd === undefined && { warmupEnd: state.weightStepsProposed }) }
}

/** Where the learning rate of the next weight step is, in `training.steps`. */
function positionNow(state: SupernetState, context: StrategyContext): number {
  const share = shareOfHours(context, state.clock)
  return share === null ? state.weightStepsProposed : share * context.config.training.steps
}

/** Whether all weight steps have been handed out. */
function isSpent(state: SupernetState, context: StrategyContext): boolean {
  const share = shareOfHours(context, state.clock)
  return share === null ? state.weightStepsProposed >= context.config.training.steps : share >= 1
}

/** Weight steps of the whole search; of one by hours, what they come to if the rest goes as fast. */
function totalSteps(state: SupernetState, context: StrategyContext): number {
  const { steps, hours } = context.config.training
  if (hours === undefined) return steps
  const share = shareDone(state, context)
  return share > 0 ? Math.max(1, Math.round(state.weightStepsDone / share)) : Math.max(steps, Math.round(state.weightStepsDone))
}

/** Share of the search's weight steps that are done, 0 to 1. */
function shareDone(state: SupernetState, { config }: StrategyContext): number {
  const { steps, hours } = config.training
  return Math.min(1, (hours === undefined ? state.weightStepsDone : (state.positionDone ?? 0)) / steps)
}

/** How hard the next architecture step pulls each decision's entropy down: dL/dH. */
function entropyPullOf(state: SupernetState, context: StrategyContext, settings: SupernetSettings): number {
  if (!settings.entropy) return 0
  const { steps, hours } = context.config.training
  const warmup =
    hours !== undefined && settings.warmupSteps === undefined ? shareOfWarmup(settings) : warmupSteps(state, context, settings) / steps
  const progress = (shareDone(state, context) - warmup) / Math.max(1 / steps, 1 - warmup)
  const mean = totalEntropy(groupsOf(state, context.space)) / context.space.decisions.length
  return entropyPull(settings.entropy, { mean, start: state.entropyStart, progress })
}

type WithFinalists = Pick<SupernetSettings, 'finalists'>

/**
 * The best of the finalists; before any has been evaluated the most probable architecture, or the most probable one that keeps the bounds,
 * where there are any beside the target latency.
 */
function derive(state: SupernetState, context: StrategyContext, { finalists }: WithFinalists): number[] {
  const [best] = state.finalists ? rankedFinalists(state.finalists, context, finalists?.smoothing) : []
  if (best) return best.path
  const groups = derivableGroups(groupsOf(state, context.space), context.space)
  const bounds = addedBounds(context)
  return bounds.length === 0 ? mostProbable(groups) : mostProbableKeeping(bounds, groups)
}

/** Best first: the finalists, as soon as any has been evaluated. */
function bestOf(state: SupernetState, context: StrategyContext, settings: WithFinalists): Candidate[] {
  const ranked = state.finalists ? rankedFinalists(state.finalists, context, settings.finalists?.smoothing).slice(0, SHOWN) : []
  if (ranked.length === 0) return [candidateOf(context, derive(state, context, settings), { score: null })]
  return ranked.map(({ path, accuracy }) => candidateOf(context, path, { score: accuracy }))
}

/** Architecture tasks that are out, those that nobody waits for left aside. */
function architectureOut({ architectureOut: known = [] }: SupernetState, { outstanding }: Attendance) {
  const live = new Set(outstanding.filter(({ overdue }) => !overdue).map(({ taskId }) => taskId))
  return known.filter(({ taskId }) => live.has(taskId))
}

/** Whether one more architecture task may be out, so that none of them comes too late, in whatever order they come back. */
function hasRoom({ alphaVersion }: SupernetState, out: ReturnType<typeof architectureOut>, { maxStaleness }: SupernetSettings): boolean {
  if (out.length === 0) return true
  return alphaVersion - Math.min(...out.map((task) => task.alphaVersion)) + out.length <= maxStaleness
}

function createSupernetSearch<State extends SupernetState>(architecture: ArchitectureSteps<State>): Strategy<State> {
  const warmupOf = (state: State, context: StrategyContext) => warmupSteps(state, context, architecture.settings(context))
  const deriveNow = (state: State, context: StrategyContext) => derive(state, context, architecture.settings(context))

  /** Uniform to the end of the warm-up, then as alpha says to the end of the search. */
  const weightSteps = (state: State, context: StrategyContext, warmup: number, attendance: Attendance): Proposal<State> | null => {
    const { steps, hours } = context.config.training
    const uniform = state.weightStepsProposed < warmup
    const { space } = context
    const groups = groupsOf(state, space)
    const draw: DrawPath = (part, isUniform, random) =>
      isUniform || !state.groups ? drawPath(part, isUniform, random) : drawWithin(groups, part, random)
    const { fill, ...more } = architecture.weights?.(state, context, draw) ?? { fill: fillWithPaths({ draw }) }
    const plan = () => ({
      probabilities: uniform ? evenProbabilities(space) : marginals(groups, space),
      uniform,
      end: uniform ? warmup : hours === undefined ? steps : Number.POSITIVE_INFINITY,
      position: hours === undefined ? undefined : positionNow(state, context),
      ...more,
    })
    return proposeWeights(state, context, attendance, plan, isSpent(state, context), fill)
  }

  const evaluation = (state: State, context: StrategyContext, evaluationsProposed: number): Proposal<State> => ({
    kind: 'work',
    work: { kind: 'evaluatePaths', paths: [deriveNow(state, context)], images: architecture.settings(context).evaluateImages },
    state: { ...state, evaluationsProposed },
  })

  const proposeArchitecture = (
    state: State,
    context: StrategyContext,
    steps: number,
    out: State['architectureOut'] & object,
    taskId: number,
  ): Proposal<State> => {
    const random = createRandom(state.random as RandomState)
    const firstStep = state.architectureStepsProposed
    const assignment = architecture.propose(state, context, { firstStep, steps, random })
    const next = {
      ...state,
      random: random.state(),
      architectureStepsProposed: firstStep + steps,
      architectureOut: [...out, { taskId, alphaVersion: state.alphaVersion }],
    }
    return { kind: 'work', ...assignment, state: next }
  }

  const propose = (given: State, context: StrategyContext, attendance: Attendance = ALONE): Proposal<State> => {
    const { training } = context.config
    const settings = architecture.settings(context)
    const { archEvery, evaluateEvery } = settings
    const state = atTime(given, context, settings, attendance)
    const warmup = warmupOf(state, context)
    const weightsProposed = state.weightStepsProposed
    const allWeightsProposed = isSpent(state, context)

    const evaluationsDue = Math.floor(weightsProposed / evaluateEvery)
    // The last evaluation comes after the last architecture steps.
    if (state.evaluationsProposed < evaluationsDue && !allWeightsProposed) return evaluation(state, context, evaluationsDue)

    const architectureDue = Math.floor(Math.max(0, weightsProposed - warmup) / archEvery) - state.architectureStepsProposed
    // Others may be waiting for an agent that has not taken its seat yet; architecture steps wait for nobody.
    const untaken = untakenPlaces(state.rounds ?? [])
    const hasSeat = untaken.some(({ seat }) => seat.agentId === attendance.asker.agentId)
    const seated = hasSeat ? weightSteps(state, context, warmup, attendance) : null
    if (seated) return seated

    const atOnce = architecture.stepsOfTask(state, context, attendance)
    const isDue = architectureDue >= atOnce || (allWeightsProposed && architectureDue > 0)
    const out = architectureOut(state, attendance)
    if (isDue && hasRoom(state, out, settings)) {
      return proposeArchitecture(state, context, Math.min(architectureDue, atOnce), out, attendance.nextTaskId)
    }

    if (!allWeightsProposed || untaken.length > 0) return weightSteps(state, context, warmup, attendance) ?? { kind: 'wait' }
    if (architectureDue > 0) return { kind: 'wait' }
    // What comes last is said of the alpha and the weights that came out.
    const isOver = attendance.outstanding.length === 0
    const total = training.hours === undefined ? training.steps : weightsProposed
    const evaluations = Math.ceil(total / evaluateEvery)
    if (state.evaluationsProposed < evaluations) return isOver ? evaluation(state, context, evaluations) : { kind: 'wait' }
    if (!settings.finalists) return { kind: 'done' }
    return finalRounds(state, context, settings.finalists, attendance)
  }

  /** Evaluations of the finalists; those of each round are chosen when nothing is out any more. */
  const finalRounds = (state: State, context: StrategyContext, settings: FinalistSettings, attendance: Attendance): Proposal<State> => {
    const isOver = attendance.outstanding.length === 0
    const agents = attendance.members.length
    const random = createRandom(state.random as RandomState)
    const given = (known: Finalists): Proposal<State> | null => {
      const proposed = proposeFinalists(known, context, settings, agents)
      if (!proposed) return null
      const { finalists, ...assignment } = proposed
      return { kind: 'work', ...assignment, state: { ...state, finalists, random: random.state() } }
    }
    if (!state.finalists) {
      if (!isOver) return { kind: 'wait' }
      const groups = derivableGroups(groupsOf(state, context.space), context.space)
      return given(chooseFinalists(groups, context, settings, random)) ?? { kind: 'done' }
    }
    const next = given(state.finalists)
    if (next || !awaitsSecondRound(state.finalists, context, settings)) return next ?? { kind: 'done' }
    if (!isOver) return { kind: 'wait' }
    return given(withSecondRound(state.finalists, context, settings, random)) ?? { kind: 'done' }
  }

  const seriesOf = (work: TaskWork): MetricSeries => {
    if (architecture.stepsOf(work) !== null) return 'architecture'
    return trainsWeights(work) ? 'training' : 'validation'
  }

  const absorb = (state: State, assignment: Assignment, outcome: TaskOutcome, context: StrategyContext): Absorbed<State> => {
    const { work } = assignment
    const from = finalistsFrom(assignment)
    if (from !== null && state.finalists) {
      const next = { ...state, finalists: absorbFinalists(state.finalists, from, assignment, outcome) }
      if (outcome.kind === 'failure') return { kind: 'given-up', series: 'validation', state: next }
      const { paths } = outcome.result as ResultOf<'evaluatePaths'>
      return { kind: 'applied', series: 'validation', metric: metricOf(paths), state: next }
    }
    // Its steps stay proposed and are never done, so that the search goes on to its end; alpha is as if they had not been asked for. A
    // seat whose task is not outstanding any more is in nobody's way (rounds.ts).
    if (outcome.kind === 'failure') return { kind: 'given-up', series: seriesOf(work), state }
    const { result } = outcome
    const steps = architecture.stepsOf(work)
    if (steps !== null) {
      const done = { architectureStepsDone: state.architectureStepsDone + steps }
      const absorbed = architecture.absorb(state, assignment, result, context)
      if (absorbed.kind === 'stale') {
        const dropped = (state.architectureStepsDropped ?? 0) + steps
        return { kind: 'stale', series: 'architecture', state: { ...state, architectureStepsDropped: dropped } }
      }
      const { loss, correct, images } = absorbed
      const next = { ...absorbed.state, ...done, alphaVersion: state.alphaVersion + 1 }
      return { kind: 'applied', series: 'architecture', metric: { loss, correct, images }, state: next }
    }
    if (trainsWeights(work)) {
      const trained = result as ResultOf<WeightWork['kind']>
      const positionDone = Math.max(state.positionDone ?? 0, work.schedule?.from ?? 0)
      const timed = context.config.training.hours === undefined ? state : { ...state, positionDone }
      const absorbed = absorbWeights(timed, work, trained)
      return { ...absorbed, state: architecture.learnt?.(absorbed.state, trained, context) ?? absorbed.state }
    }
    const { crossEntropy, correct, images } = (result as ResultOf<'evaluatePaths'>).paths[0] as ResultOf<'evaluatePaths'>['paths'][number]
    return { kind: 'applied', series: 'validation', metric: { loss: crossEntropy, correct, images }, state }
  }

  const describe = (state: State, context: StrategyContext): Description => {
    const groups = groupsOf(state, context.space)
    const probabilities = marginals(groups, context.space)
    const perBlock = probabilities.map(entropy)
    const total = totalEntropy(groups)
    const { clock } = state
    const weightSteps = { done: Math.round(state.weightStepsDone), total: totalSteps(state, context) }
    return {
      steps: { ...weightSteps, unit: 'steps' },
      ...(clock && { leftMs: millisecondsLeft(context, clock) }),
      best: bestOf(state, context, architecture.settings(context)),
      view: {
        kind: 'distribution',
        // Of decisions that are taken together, those of a softmax that has their marginal probabilities.
        alpha: state.groups ? probabilities.map((row) => row.map((p) => Math.max(-MAX_ALPHA, Math.log(p)))) : state.alpha,
        alphaVersion: state.alphaVersion,
        probabilities,
        entropy: { total, mean: total / perBlock.length, perBlock, start: state.entropyStart },
        expectedLatencyMs: expectedLatencyMs(context.latency, probabilities),
        weightSteps,
        architectureSteps: {
          done: state.architectureStepsDone,
          ...(state.architectureStepsDropped !== undefined && { dropped: state.architectureStepsDropped }),
          skippedBlocks: state.skippedBlocks,
        },
        ...architecture.shows?.(state),
      },
      get fronts() {
        return architecture.frontsOf && describeFronts(architecture.frontsOf(state), context)
      },
    }
  }

  return {
    stateSchema: architecture.stateSchema,
    phase(state, context) {
      if (state.weightStepsDone + state.architectureStepsDone === 0) return 'waiting'
      return state.weightStepsDone < warmupOf(state, context) ? 'warmup' : 'searching'
    },
    init(context) {
      checkBounds(addedBounds(context))
      const { finalists } = architecture.settings(context)
      if (finalists) checkFinalists(context, finalists)
      return architecture.start(startingState(context, architecture.settings(context)), context)
    },
    propose,
    absorb,
    relearnt: (state, learnt) => ({
      ...learnt,
      random: state.random,
      batchesProposed: state.batchesProposed,
      rounds: state.rounds,
      weightStepsProposed: state.weightStepsProposed,
      architectureStepsProposed: state.architectureStepsProposed,
      evaluationsProposed: state.evaluationsProposed,
      ...(state.clock && { clock: state.clock }),
      ...(state.warmupEnd !== undefined && { warmupEnd: state.warmupEnd }),
      ...(state.finalists && { finalists: state.finalists }),
    }),
    derive: deriveNow,
    describe,
  }
}

export {
  type ArchitectureSteps,
  createSupernetSearch,
  entropyPullOf,
  positionNow,
  shareDone,
  type SupernetSettings,
  supernetShape,
  type SupernetState,
  supernetStateSchema,
}
