// ProxylessNAS in gradient form as a strategy: a warm-up of weight steps on uniform paths, then rounds of weight steps on
// sampled paths and architecture steps on sampled gates. Steps are handed out in tasks of several, so what an
// architecture step sees of alpha may be some tasks old; the update rule itself is in alpha-update.ts.

import * as z from 'zod'
import { expectedLatencyMs } from '../latency-lut/table/coverage.ts'
import { createRandom, randomStateSchema, type Random, type RandomState, seedState } from '../search-space/index.ts'
import {
  MAX_TASK_GATES,
  MAX_TASK_STEPS,
  ProblemError,
  type ProxylessGradientConfig,
  type ResultOf,
  type TaskWork,
} from '../protocol/index.ts'
import { type BlockSample, updateAlpha } from './alpha-update.ts'
import { argmax, entropy, softmax } from './distribution.ts'
import {
  ALONE,
  type Attendance,
  openRound,
  type Round,
  roundSchema,
  sharedSteps,
  takeTurn,
  untakenPlaces,
  withoutEnded,
  workOf,
} from './rounds.ts'
import type { Absorbed, Description, Proposal, Strategy, StrategyContext } from './strategy.ts'

const DEFAULT_WARMUP_SHARE = 0.1

const count = z.int().min(0)
const rows = z.array(z.array(z.number()))

const stateSchema = z.strictObject({
  random: randomStateSchema,
  alpha: rows,
  firstMoment: rows,
  secondMoment: rows,
  steps: z.array(count),
  alphaVersion: count,
  entropyStart: z.number(),
  /** Effective steps: what one agent alone would need for the same (rounds.ts). Those of a single agent are its mini-batches. */
  weightStepsProposed: z.number().min(0),
  weightStepsDone: z.number().min(0),
  /** Mini-batches handed out; absent in states from before there were rounds, where it is `weightStepsProposed`. */
  batchesProposed: count.optional(),
  rounds: z.array(roundSchema).optional(),
  architectureStepsProposed: count,
  architectureStepsDone: count,
  skippedBlocks: count,
  evaluationsProposed: count,
})
type State = z.infer<typeof stateSchema>

type GateWork = Extract<TaskWork, { kind: 'gateGradients' }>
type GateChoice = GateWork['steps'][number][number]

function settings(context: StrategyContext): ProxylessGradientConfig {
  return context.config.strategy
}

function warmupSteps(context: StrategyContext): number {
  const { steps } = context.config.training
  return Math.min(steps, settings(context).warmupSteps ?? Math.round(steps * DEFAULT_WARMUP_SHARE))
}

function meanEntropy(alpha: readonly (readonly number[])[]): number {
  return alpha.reduce((sum, row) => sum + entropy(softmax(row)), 0) / alpha.length
}

function startingAlpha(context: StrategyContext, random: Random): number[][] {
  const { initialAlpha, initialDeviation } = settings(context)
  const { blocks } = context.space
  if (!initialAlpha) return blocks.map((block) => block.operations.map(() => random.normal() * initialDeviation))
  if (initialAlpha.length !== blocks.length) {
    const message = `expected ${blocks.length} rows, one per block, got ${initialAlpha.length}`
    throw new ProblemError('invalid-request', `strategy.initialAlpha: ${message}`, [{ path: 'strategy.initialAlpha', message }])
  }
  for (const [index, block] of blocks.entries()) {
    const got = initialAlpha[index]?.length
    if (got !== block.operations.length) {
      const path = `strategy.initialAlpha[${index}]`
      const message = `expected ${block.operations.length} numbers, one per operation of block ${block.name}, got ${got}`
      throw new ProblemError('invalid-request', `${path}: ${message}`, [{ path, message }])
    }
  }
  return initialAlpha.map((row) => [...row])
}

function init(context: StrategyContext): State {
  const random = createRandom(seedState('strategy', context.config.seed))
  const alpha = startingAlpha(context, random)
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

/** Two different operations drawn from p without replacement; the active one of them drawn by their own softmax. */
function sampleTwo(alpha: readonly number[], random: Random): GateChoice {
  const first = random.weighted(softmax(alpha))
  // A softmax of the rest, not p without the first, so that it stays a distribution when p is all but one-hot.
  const rest = alpha.map((_, index) => index).filter((index) => index !== first)
  const second = rest[random.weighted(softmax(rest.map((index) => alpha[index] as number)))] as number
  const pair = [first, second]
  const chosen = random.weighted(softmax(pair.map((index) => alpha[index] as number)))
  return { active: pair[chosen] as number, inactive: [pair[1 - chosen] as number] }
}

function sampleFull(alpha: readonly number[], random: Random): GateChoice {
  const active = random.weighted(softmax(alpha))
  return { active, inactive: alpha.map((_, index) => index).filter((index) => index !== active) }
}

function sampleGates(state: State, context: StrategyContext, random: Random): GateChoice[] {
  const sample = settings(context).form === 'two' ? sampleTwo : sampleFull
  return state.alpha.map((alpha) => (alpha.length === 1 ? { active: 0, inactive: [] } : sample(alpha, random)))
}

function withRandom(state: State, make: (random: Random) => TaskWork, progress: Partial<State>): Proposal<State> {
  const random = createRandom(state.random as RandomState)
  const work = make(random)
  return { kind: 'work', work, state: { ...state, ...progress, random: random.state() } }
}

function evaluation(state: State, evaluationsProposed: number, images: number): Proposal<State> {
  return { kind: 'work', work: { kind: 'evaluatePaths', paths: [derive(state)], images }, state: { ...state, evaluationsProposed } }
}

/** A round from where the last one ends, to the end of the warm-up or of the search at most. */
function nextRound(state: State, context: StrategyContext, { asker, members }: Attendance, random: Random): Round {
  const { training, tasks } = context.config
  const warmup = warmupSteps(context)
  const from = state.weightStepsProposed
  const uniform = from < warmup
  return openRound(
    {
      probabilities: state.alpha.map((row) => (uniform ? row.map(() => 1 / row.length) : softmax(row))),
      uniform,
      members: members.some(({ agentId }) => agentId === asker.agentId) ? members : [...members, asker],
      weightSteps: tasks.weightSteps,
      from,
      end: uniform ? warmup : training.steps,
      firstBatch: state.batchesProposed ?? from,
    },
    random,
  )
}

/** Weight steps for the one that asks; null where it has to wait, or where all have been handed out. */
function proposeWeights(state: State, context: StrategyContext, attendance: Attendance): Proposal<State> | null {
  const { asker, outstanding, nextTaskId } = attendance
  const rounds = state.rounds ?? []
  const isAllProposed = state.weightStepsProposed >= context.config.training.steps
  const turn = takeTurn(rounds, attendance, isAllProposed)
  if (turn.kind === 'wait') return null
  const random = createRandom(state.random as RandomState)
  const opened = turn.kind === 'open' ? nextRound(state, context, attendance, random) : null
  const place = turn.kind === 'seat' ? turn : untakenPlaces(opened ? [opened] : []).find(({ seat }) => seat.agentId === asker.agentId)
  if (!place) throw new Error(`no seat for agent ${asker.agentId} in the round that it opened`)
  const { round, seat } = place
  const work = workOf(round, seat, context.config.tasks.weightSteps, random)
  const taken = { ...seat, agentId: asker.agentId, taskId: nextTaskId }
  const seated: Round = { ...round, seats: round.seats.map((other) => (other === seat ? taken : other)) }
  const all = opened ? [...rounds, seated] : rounds.map((other) => (other === round ? seated : other))
  const batches = opened ? opened.seats.reduce((sum, { lanes, steps }) => sum + lanes * steps, 0) : 0
  return {
    kind: 'work',
    work,
    state: {
      ...state,
      random: random.state(),
      weightStepsProposed: opened ? opened.from + opened.effective : state.weightStepsProposed,
      batchesProposed: (state.batchesProposed ?? state.weightStepsProposed) + batches,
      rounds: withoutEnded(all, [...outstanding, { taskId: nextTaskId, agentId: asker.agentId, overdue: false }]),
    },
  }
}

/** Architecture steps of one task. Where agents share rounds, a task of gates is as long or short as a seat in a round. */
function gateSteps(state: State, context: StrategyContext, { asker }: Attendance): number {
  const { weightSteps, architectureSteps } = context.config.tasks
  const local = sharedSteps(state.rounds ?? [], asker.agentId)
  if (local === null) return architectureSteps
  const gates = state.alpha.reduce((sum, { length }) => sum + length, 0)
  return Math.min(Math.floor(MAX_TASK_GATES / gates), MAX_TASK_STEPS, Math.max(1, Math.round((architectureSteps * local) / weightSteps)))
}

function propose(state: State, context: StrategyContext, attendance: Attendance = ALONE): Proposal<State> {
  const { training } = context.config
  const { archEvery, evaluateEvery, evaluateImages } = settings(context)
  const warmup = warmupSteps(context)
  const weightsProposed = state.weightStepsProposed
  const allWeightsProposed = weightsProposed >= training.steps

  const evaluationsDue = Math.floor(weightsProposed / evaluateEvery)
  // The last evaluation comes after the last architecture steps.
  if (state.evaluationsProposed < evaluationsDue && !allWeightsProposed) return evaluation(state, evaluationsDue, evaluateImages)

  const architectureDue = Math.floor(Math.max(0, weightsProposed - warmup) / archEvery) - state.architectureStepsProposed
  // Others may be waiting for an agent that has not taken its seat yet; gates wait for nobody.
  const untaken = untakenPlaces(state.rounds ?? [])
  const hasSeat = untaken.some(({ seat }) => seat.agentId === attendance.asker.agentId)
  const seated = hasSeat ? proposeWeights(state, context, attendance) : null
  if (seated) return seated

  const atOnce = gateSteps(state, context, attendance)
  if (architectureDue >= atOnce || (allWeightsProposed && architectureDue > 0)) {
    const steps = Math.min(architectureDue, atOnce)
    return withRandom(
      state,
      (random) => ({
        kind: 'gateGradients',
        firstStep: state.architectureStepsProposed,
        steps: Array.from({ length: steps }, () => sampleGates(state, context, random)),
        alphaVersion: state.alphaVersion,
      }),
      { architectureStepsProposed: state.architectureStepsProposed + steps },
    )
  }

  if (!allWeightsProposed || untaken.length > 0) return proposeWeights(state, context, attendance) ?? { kind: 'wait' }
  const evaluations = Math.ceil(training.steps / evaluateEvery)
  return state.evaluationsProposed < evaluations ? evaluation(state, evaluations, evaluateImages) : { kind: 'done' }
}

/** What does not fit between the gates of a task and the result that came back for them. */
function gateMismatch(
  work: GateWork,
  result: ResultOf<'gateGradients'>,
  context: StrategyContext,
): { path: string; message: string } | null {
  if (result.steps.length !== work.steps.length) {
    return { path: 'result.steps', message: `expected ${work.steps.length} steps, got ${result.steps.length}` }
  }
  for (const [i, step] of work.steps.entries()) {
    const gradients = result.steps[i]?.gateGradients ?? []
    const path = `result.steps[${i}].gateGradients`
    if (gradients.length !== step.length) return { path, message: `expected ${step.length} blocks, got ${gradients.length}` }
    for (const [block, choice] of step.entries()) {
      const expected = takesUpdate(context, block, choice) ? 1 + choice.inactive.length : null
      const got = gradients[block]?.length ?? null
      if (got !== expected) {
        return {
          path: `${path}[${block}]`,
          message: `expected ${expected === null ? 'null' : `${expected} numbers`}, got ${got === null ? 'null' : `${got} numbers`}`,
        }
      }
    }
  }
  return null
}

function takesUpdate(context: StrategyContext, block: number, choice: GateChoice): boolean {
  return choice.inactive.length > 0 && context.space.blocks[block]?.operations[choice.active]?.isZero === false
}

function absorbGates(state: State, work: GateWork, result: ResultOf<'gateGradients'>, context: StrategyContext): Absorbed<State> {
  const mismatch = gateMismatch(work, result, context)
  if (mismatch) return { kind: 'refused', ...mismatch }
  const { form, learningRate, beta1, beta2, epsilon, maxStaleness } = settings(context)
  const done = { architectureStepsDone: state.architectureStepsDone + work.steps.length }
  if (state.alphaVersion - work.alphaVersion > maxStaleness) return { kind: 'stale', state: { ...state, ...done } }

  const { loss, targetMs } = context.config.latency
  const update = { form, adam: { learningRate, beta1, beta2, epsilon }, loss, targetMs, latency: context.latency }
  let current: Pick<State, 'alpha' | 'firstMoment' | 'secondMoment' | 'steps'> = state
  let skippedBlocks = state.skippedBlocks
  const sum = { loss: 0, correct: 0, images: 0 }
  for (const [i, step] of work.steps.entries()) {
    const answer = result.steps[i] as ResultOf<'gateGradients'>['steps'][number]
    const samples: BlockSample[] = step.map((choice, block) => ({
      operations: [choice.active, ...choice.inactive],
      gateGradients: answer.gateGradients[block] ?? null,
    }))
    const updated = updateAlpha(current, samples, answer.crossEntropy, update)
    current = updated.state as typeof current
    skippedBlocks += step.length - updated.updatedBlocks
    sum.loss += answer.crossEntropy / work.steps.length
    sum.correct += answer.correct
    sum.images += answer.images
  }
  return { kind: 'applied', metric: sum, state: { ...state, ...current, ...done, skippedBlocks, alphaVersion: state.alphaVersion + 1 } }
}

function absorb(state: State, work: TaskWork, result: ResultOf<TaskWork['kind']>, context: StrategyContext): Absorbed<State> {
  if (result.kind === 'trainWeights' && work.kind === 'trainWeights') {
    const { loss, correct, images } = result
    return {
      kind: 'applied',
      metric: { loss, correct, images },
      state: { ...state, weightStepsDone: state.weightStepsDone + (work.schedule?.counts ?? work.paths.length) },
    }
  }
  if (result.kind === 'gateGradients' && work.kind === 'gateGradients') return absorbGates(state, work, result, context)
  if (result.kind === 'evaluatePaths' && work.kind === 'evaluatePaths') {
    const first = result.paths[0]
    if (!first || result.paths.length !== work.paths.length) {
      return { kind: 'refused', path: 'result.paths', message: `expected ${work.paths.length} paths, got ${result.paths.length}` }
    }
    return { kind: 'applied', metric: { loss: first.crossEntropy, correct: first.correct, images: first.images }, state }
  }
  return { kind: 'refused', path: 'result.kind', message: `expected ${work.kind}, got ${result.kind}` }
}

function derive(state: State): number[] {
  return state.alpha.map(argmax)
}

function describe(state: State, context: StrategyContext): Description {
  const probabilities = state.alpha.map(softmax)
  const perBlock = probabilities.map(entropy)
  const total = perBlock.reduce((sum, value) => sum + value, 0)
  const started = state.weightStepsDone + state.architectureStepsDone > 0
  const warm = state.weightStepsDone < warmupSteps(context)
  return {
    alpha: state.alpha,
    alphaVersion: state.alphaVersion,
    probabilities,
    entropy: { total, mean: total / perBlock.length, perBlock, start: state.entropyStart },
    expectedLatencyMs: expectedLatencyMs(context.latency, probabilities),
    weightSteps: { done: Math.round(state.weightStepsDone), total: context.config.training.steps },
    architectureSteps: { done: state.architectureStepsDone, skippedBlocks: state.skippedBlocks },
    phase: !started ? 'waiting' : warm ? 'warmup' : 'searching',
  }
}

/** See strategy.ts. */
const proxylessGradient: Strategy<State> = { stateSchema, init, propose, absorb, derive, describe }

export { proxylessGradient }
