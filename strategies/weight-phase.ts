// Training the weights of a supernet, as every strategy does that has one: steps on sampled paths, in rounds that let several agents
// work side by side (rounds.ts).

import * as z from 'zod'
import { type ResultOf, type WeightWork, weightStepsOf } from '../protocol/index.ts'
import { createRandom, type RandomState, randomStateSchema } from '../search-space/index.ts'
import {
  type Attendance,
  type FillSeat,
  openRound,
  type Round,
  type RoundPlan,
  roundSchema,
  takeTurn,
  untakenPlaces,
  withoutEnded,
  workOf,
} from './rounds.ts'
import { fillWithPaths } from './seat-steps.ts'
import type { Absorbed, Proposal, StrategyContext } from './strategy.ts'

/** Fields of the state of such a strategy. */
const weightPhaseShape = {
  random: randomStateSchema,
  /** Effective steps: what one agent alone would need for the same (rounds.ts). Those of a single agent are its mini-batches. */
  weightStepsProposed: z.number().min(0),
  weightStepsDone: z.number().min(0),
  /** Mini-batches handed out; absent in states from before there were rounds, where it is `weightStepsProposed`. */
  batchesProposed: z.int().min(0).optional(),
  rounds: z.array(roundSchema).optional(),
}
type WeightPhase = {
  readonly random: readonly number[]
  readonly weightStepsProposed: number
  readonly weightStepsDone: number
  readonly batchesProposed?: number | undefined
  readonly rounds?: readonly Round[] | undefined
}

/** What the next round trains, and the effective steps at which it has to end. */
type PathPlan = Pick<RoundPlan, 'probabilities' | 'uniform' | 'options' | 'end' | 'position' | 'isWhole' | 'mostSteps'>

/** Weight steps for the one that asks; null where it has to wait, or where all have been handed out. */
function proposeWeights<State extends WeightPhase>(
  state: State,
  context: StrategyContext,
  attendance: Attendance,
  plan: () => PathPlan,
  isAllProposed: boolean,
  fill: FillSeat = fillWithPaths(),
): Proposal<State> | null {
  const { asker, members, outstanding, nextTaskId } = attendance
  const { tasks, training } = context.config
  const rounds = state.rounds ?? []
  const from = state.weightStepsProposed
  const turn = takeTurn(rounds, attendance, isAllProposed)
  if (turn.kind === 'wait') return null
  const random = createRandom(state.random as RandomState)
  const open = () =>
    openRound(
      {
        ...plan(),
        members: members.some(({ agentId }) => agentId === asker.agentId) ? members : [...members, asker],
        weightSteps: tasks.weightSteps,
        from,
        firstBatch: state.batchesProposed ?? from,
      },
      random,
    )
  const opened = turn.kind === 'open' ? open() : null
  const place = turn.kind === 'seat' ? turn : untakenPlaces(opened ? [opened] : []).find(({ seat }) => seat.agentId === asker.agentId)
  if (!place) throw new Error(`no seat for agent ${asker.agentId} in the round that it opened`)
  const { round, seat } = place
  const optionsShareWeights = context.space.weightsWithin !== undefined
  const work = workOf(round, seat, { weightSteps: tasks.weightSteps, momentum: training.momentum, fill, optionsShareWeights }, random)
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
      weightStepsProposed: opened ? opened.from + opened.effective : from,
      batchesProposed: (state.batchesProposed ?? from) + batches,
      rounds: withoutEnded(all, [...outstanding, { taskId: nextTaskId, agentId: asker.agentId, overdue: false }]),
    },
  }
}

/** The result of weight steps: how many effective steps it was worth. */
function absorbWeights<State extends WeightPhase>(state: State, work: WeightWork, result: ResultOf<WeightWork['kind']>): Absorbed<State> {
  const { loss, correct, images } = result
  const weightStepsDone = state.weightStepsDone + (work.schedule?.counts ?? weightStepsOf(work))
  return { kind: 'applied', series: 'training', metric: { loss, correct, images }, state: { ...state, weightStepsDone } }
}

export { absorbWeights, type PathPlan, proposeWeights, type WeightPhase, weightPhaseShape }
