// ProxylessNAS in gradient form: an architecture step samples gates and gets their gradients back. The update rule is in
// alpha-update.ts.

import { type GateChoice, MAX_TASK_GATES, MAX_TASK_STEPS, invalidField, type ResultOf, type TaskWork } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { penaltiesOf } from './bounds.ts'
import { softmax } from './distribution.ts'
import { followGradients } from './gradient-steps.ts'
import { checkLoss } from './latency-loss.ts'
import { type Attendance, sharedSteps } from './rounds.ts'
import { settingsOf } from './settings.ts'
import { requireSideBySide } from './side-by-side.ts'
import type { Assignment, Strategy, StrategyContext } from './strategy.ts'
import { type ArchitectureSteps, createSupernetSearch, type SupernetState, supernetStateSchema } from './supernet-search.ts'

type State = SupernetState
type GateWork = Extract<TaskWork, { kind: 'gateGradients' }>

const settings = (context: StrategyContext) => settingsOf(context, 'proxyless-g')

/** A task's gates and gradients are one row of the log. */
function checkGates(context: StrategyContext): void {
  requireSideBySide(context)
  const { form } = settings(context)
  const gates = context.space.decisions.reduce(
    (sum, { options }) => sum + (form === 'two' ? Math.min(2, options.length) : options.length),
    0,
  )
  const most = Math.floor(MAX_TASK_GATES / gates)
  const wanted = context.config.tasks.architectureSteps
  if (wanted > most) {
    throw invalidField('tasks.architectureSteps', `expected at most ${most} for a space with ${gates} gates per step, got ${wanted}`)
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

/** Where agents share rounds, a task of gates is as long or short as a seat in a round. */
function stepsOfTask(state: State, context: StrategyContext, { asker }: Attendance): number {
  const { weightSteps, architectureSteps } = context.config.tasks
  const local = sharedSteps(state.rounds ?? [], asker.agentId)
  if (local === null) return architectureSteps
  const gates = state.alpha.reduce((sum, { length }) => sum + length, 0)
  return Math.min(Math.floor(MAX_TASK_GATES / gates), MAX_TASK_STEPS, Math.max(1, Math.round((architectureSteps * local) / weightSteps)))
}

function absorb(
  state: State,
  { work: any }: Assignment,
  anyResult: ResultOf<TaskWork['kind']>,
  context: StrategyContext,
): ReturnType<ArchitectureSteps<State>['absorb']> {
  const work = any as GateWork
  const result = anyResult as ResultOf<'gateGradients'>
  const { form, learningRate, beta1, beta2, epsilon, maxStaleness } = settings(context)
  if (state.alphaVersion - work.alphaVersion > maxStaleness) return { kind: 'stale' }

  const steps = work.steps.map((step, i) => {
    const { gateGradients, ...answer } = result.steps[i] as ResultOf<'gateGradients'>['steps'][number]
    const samples = step.map((choice, block) => ({
      operations: [choice.active, ...choice.inactive],
      gateGradients: gateGradients[block] ?? null,
    }))
    return { ...answer, samples }
  })
  const adam = { learningRate, beta1, beta2, epsilon }
  const { skipped, state: next, ...metric } = followGradients(state, steps, { form, adam, settings: settings(context) }, context)
  return { kind: 'applied', ...metric, state: { ...next, skippedBlocks: state.skippedBlocks + skipped } }
}

/** See strategy.ts and supernet-search.ts. */
const proxylessGradient: Strategy<State> = createSupernetSearch<State>({
  stateSchema: supernetStateSchema,
  settings,
  start(base, context) {
    checkGates(context)
    checkLoss(context)
    penaltiesOf(context)
    return base
  },
  stepsOfTask,
  propose: (state, context, { firstStep, steps, random }) => ({
    work: {
      kind: 'gateGradients',
      firstStep,
      steps: Array.from({ length: steps }, () => sampleGates(state, context, random)),
      alphaVersion: state.alphaVersion,
    },
  }),
  absorb,
  stepsOf: (work) => (work.kind === 'gateGradients' ? work.steps.length : null),
})

export { proxylessGradient }
