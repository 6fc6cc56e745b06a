// Rounds of weight training: what lets n agents do the work of n.
//
// A round gives every agent that is there a seat: a part of the operations (parts.ts) and a number of local steps in
// proportion to its speed, so that all end at about the same time. The paths of a seat are sampled when it is taken. An
// agent may take its seat in the next round while others are still busy with this one, so that nobody waits for a network,
// but not run ahead of them by more: what the others have learnt must be in its weights before it is a round old. A seat
// that is left untaken by an agent that is gone goes to the next one that would have to wait.
//
// The effective steps of a round, of which the learning rate, the warm-up and the end of the search are counted, are what
// one agent alone would need for the same: m^−β of the mini-batches, where m counts the learners as (Σ s)² / Σ s², s being
// the steps of each. β is measured (docs/scaling.md).

import * as z from 'zod'
import type { Random } from '../search-space/index.ts'
import { COMMON_EXPONENT, MAX_TASK_STEPS, OPERATION_EXPONENT, roundShare, type WeightWork } from '../protocol/index.ts'
import { type BlockPart, countOwners, divide, type Part } from './parts.ts'

/** β above. */
const EFFORT_EXPONENT = 0.1
/** Two agents do well with tasks of any length; the more there are, the fewer operations each has, and the sooner they must change hands. */
const BASE_LEARNERS = 2
const LENGTH_EXPONENT = 1.75
/** Below this an agent is busy with requests more than with training. */
const MIN_LOCAL_STEPS = 2
/** A task takes at least this many times as long as what the others have learnt takes to arrive. */
const EXCHANGE_MARGIN = 1.5

/** An agent as far as rounds know it. */
type Member = {
  readonly agentId: string
  /** Paths that it trains side by side. */
  readonly lanes: number
  /** Local steps a second in each lane; null before it has delivered. */
  readonly stepsPerSecond: number | null
  /** From the end of a task until the others' weights are there, milliseconds; null before that was measured. */
  readonly exchangeMs: number | null
}

type Outstanding = {
  readonly taskId: number
  /** Null while the task waits to be handed out again. */
  readonly agentId: string | null
  /** Takes several times as long as it should: nobody waits for it. */
  readonly overdue: boolean
}

/** Who asks for work, and what the others are doing. */
type Attendance = {
  readonly asker: Member
  /** Agents that are there, the asker included. */
  readonly members: readonly Member[]
  readonly outstanding: readonly Outstanding[]
  /** The id that a task proposed now will have. */
  readonly nextTaskId: number
  readonly nowMs: number
}

const SOLE: Member = { agentId: 'alone', lanes: 1, stepsPerSecond: null, exchangeMs: null }

/** One agent with one lane, whose results come back at once. */
const ALONE: Attendance = { asker: SOLE, members: [SOLE], outstanding: [], nextTaskId: 0, nowMs: 0 }

const part = z.array(z.strictObject({ operations: z.array(z.int().min(0)).min(1), weights: z.array(z.number().min(0)) }))

const seatSchema = z.strictObject({
  agentId: z.string(),
  lanes: z.int().min(1),
  /** Of each lane. */
  steps: z.int().min(1),
  firstBatch: z.int().min(0),
  /** Effective steps that it counts for. */
  counts: z.number().min(0),
  part,
  /** Null until it is taken. */
  taskId: z.int().nullable(),
})
type Seat = z.infer<typeof seatSchema>

const roundSchema = z.strictObject({
  /** Effective steps before it. */
  from: z.number().min(0),
  /** Effective steps of all of it. */
  effective: z.number().positive(),
  /** Where the learning rate is, in `training.steps`, in a search by hours (budget.ts); absent: it moves with the effective steps. */
  position: z.number().min(0).optional(),
  /** Paths are drawn uniformly: the search is still warming up. */
  uniform: z.boolean(),
  sharedOperations: z.array(z.strictObject({ block: z.int(), operation: z.int(), share: z.number() })),
  seats: z.array(seatSchema).min(1),
})
type Round = z.infer<typeof roundSchema>

type RoundPlan = {
  /** Probabilities by block and operation. */
  readonly probabilities: readonly (readonly number[])[]
  readonly uniform: boolean
  /** Those that paths may take, [decision][…]; default: all. */
  readonly options?: readonly (readonly number[])[] | undefined
  /** Whether every step trains all operations, so that there is nothing to divide; default false. */
  readonly isWhole?: boolean
  /** Steps that one task can hold, of all lanes; default MAX_TASK_STEPS. */
  readonly mostSteps?: number
  readonly members: readonly Member[]
  /** Local steps of an agent that is alone. */
  readonly weightSteps: number
  /** Effective steps before the round, and those at which it has to end. */
  readonly from: number
  readonly end: number
  readonly position?: number | undefined
  readonly firstBatch: number
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

/** Effective steps of learners that take these numbers of steps side by side. */
function effectiveSteps(steps: readonly number[]): number {
  const total = sum(steps)
  const learners = total ** 2 / sum(steps.map((value) => value ** 2))
  return total * learners ** -EFFORT_EXPONENT
}

/** Steps after which learners should put together what they have learnt, if that costs little. */
function mixingSteps(weightSteps: number, learners: number): number {
  return Math.min(weightSteps, Math.max(MIN_LOCAL_STEPS, Math.round(weightSteps * (BASE_LEARNERS / learners) ** LENGTH_EXPONENT)))
}

/** Local steps of each member before the round is cut to fit. */
function localSteps({ members, weightSteps, mostSteps = MAX_TASK_STEPS }: RoundPlan): number[] {
  const learners = sum(members.map(({ lanes }) => lanes))
  const known = members.flatMap(({ stepsPerSecond }) => (stepsPerSecond === null ? [] : [stepsPerSecond]))
  const meanSpeed = known.length > 0 ? sum(known) / known.length : 1
  const speedOf = ({ stepsPerSecond }: Member) => (stepsPerSecond ?? meanSpeed) / meanSpeed
  const exchangeSteps = Math.max(0, ...members.map(({ exchangeMs }) => ((exchangeMs ?? 0) / 1000) * meanSpeed * EXCHANGE_MARGIN))
  const agentsAlone = members.length === 1
  const base = agentsAlone ? weightSteps : Math.max(exchangeSteps, mixingSteps(weightSteps, learners))
  return members.map((member) => {
    const most = Math.max(1, Math.floor(mostSteps / member.lanes))
    return Math.min(most, Math.max(1, Math.round(base * (agentsAlone ? 1 : speedOf(member)))))
  })
}

function openRound(plan: RoundPlan, random: Random): Round {
  const { probabilities, uniform, options, isWhole = false, members, from, end, position, firstBatch } = plan
  const wanted = localSteps(plan)
  const lanesOf = (steps: readonly number[]) => members.flatMap(({ lanes }, i) => Array.from({ length: lanes }, () => steps[i] as number))
  const left = end - from
  const fits = Math.min(1, left / effectiveSteps(lanesOf(wanted)))
  const steps = wanted.map((value) => Math.max(1, Math.ceil(value * fits - 1e-9)))
  const effective = Math.min(left, effectiveSteps(lanesOf(steps)))
  const batches = members.map(({ lanes }, i) => lanes * (steps[i] as number))
  const all = probabilities.map((weights, block): BlockPart => {
    const operations = options?.[block] ?? weights.map((_, operation) => operation)
    return { operations, weights: operations.map((operation) => weights[operation] as number) }
  })
  const parts = isWhole ? members.map(() => all) : divide(all, batches, random)
  const total = sum(batches)
  let batch = firstBatch
  const seats = members.map(({ agentId, lanes }, i): Seat => {
    const mine = batches[i] as number
    const first = batch
    batch += mine
    return {
      agentId,
      lanes,
      steps: steps[i] as number,
      firstBatch: first,
      counts: (effective * mine) / total,
      part: (parts[i] as Part).map(({ operations, weights }) => ({ operations: [...operations], weights: [...weights] })),
      taskId: null,
    }
  })
  // Who trains all operations at every step trains them as all others do, all the time: they are as stem and head.
  const exponent = isWhole ? COMMON_EXPONENT : OPERATION_EXPONENT
  const sharedOperations =
    seats.length === 1
      ? []
      : countOwners(parts).flatMap((owners, block) =>
          [...owners].flatMap(([operation, count]) => (count > 1 ? [{ block, operation, share: roundShare(count, exponent) }] : [])),
        )
  return { from, effective, ...(position !== undefined && { position }), uniform, sharedOperations, seats }
}

/** How often an agent uses each of its operations in a round, on average. */
function usesOf({ seats }: Round): number {
  const mean = (values: readonly number[]) => sum(values) / values.length
  return mean(seats.map(({ steps, part: own }) => steps / mean(own.map(({ operations }) => operations.length))))
}

/** A seat's steps, all lanes together, without what makes them part of a round. */
type SeatSteps = WithoutPlace<WeightWork>
type WithoutPlace<Work> = Work extends WeightWork ? Omit<Work, 'firstStep' | 'lanes' | 'schedule' | 'round'> : never

/** What the steps of a seat train. */
type FillSeat = (seat: Seat, place: { readonly round: Round; readonly mergeEvery: number; readonly random: Random }) => SeatSteps

type WorkSettings = {
  /** Local steps of an agent that is alone. */
  readonly weightSteps: number
  readonly momentum: number
  readonly fill: FillSeat
  /** Whether options of the space share weights, so that agents with different ones may collide. */
  readonly optionsShareWeights: boolean
}

/**
 * The work of a seat. Velocities move with their operations where an agent uses these so seldom that its own would not be formed anew:
 * a velocity remembers 1 / (1 − momentum) steps.
 *
 * An agent that is alone and has one lane gets the plain form, in which everything follows from the step's number.
 */
function workOf(round: Round, seat: Seat, { weightSteps, momentum, fill, optionsShareWeights }: WorkSettings, random: Random): WeightWork {
  const learners = sum(round.seats.map(({ lanes }) => lanes))
  const mergeEvery = mixingSteps(weightSteps, learners)
  const members = round.seats.length
  const plain: WeightWork = { ...fill(seat, { round, mergeEvery, random }), firstStep: seat.firstBatch }
  const { position } = round
  const isPlain =
    position === undefined && members === 1 && seat.lanes === 1 && round.from === seat.firstBatch && round.effective === seat.steps
  if (isPlain) return plain
  const mine = new Set(seat.part.flatMap(({ operations }, block) => operations.map((operation) => `${block}/${operation}`)))
  return {
    ...plain,
    ...(seat.lanes > 1 && { lanes: { count: seat.lanes, mergeEvery } }),
    schedule: {
      ...(position === undefined ? { from: round.from, perStep: round.effective / seat.steps } : { from: position, perStep: 0 }),
      counts: seat.counts,
    },
    ...(members > 1 && {
      round: {
        members,
        commonShare: roundShare(members, COMMON_EXPONENT),
        sharedOperations: round.sharedOperations.filter(({ block, operation }) => mine.has(`${block}/${operation}`)),
        ...(optionsShareWeights && { parts: round.seats.map(({ part: own }) => own.map(({ operations }) => [...operations])) }),
        // Who trains all operations at every step has velocities of its own for all of them.
        velocities: plain.kind === 'trainWeights' && usesOf(round) < 1 / (1 - momentum),
      },
    }),
  }
}

/** What an agent that asks for weight steps gets: a seat, or the right to open the next round, or a while to wait. */
type Turn = ({ readonly kind: 'seat' } & Place) | { readonly kind: 'open' } | { readonly kind: 'wait' }
type Place = { readonly round: Round; readonly seat: Seat }

function placesOf(rounds: readonly Round[]): Place[] {
  return rounds.flatMap((round) => round.seats.map((seat) => ({ round, seat })))
}

/** Seats that nobody has taken yet, oldest first. */
function untakenPlaces(rounds: readonly Round[]): Place[] {
  return placesOf(rounds).filter(({ seat }) => seat.taskId === null)
}

function takeTurn(rounds: readonly Round[], { asker, members, outstanding }: Attendance, isAllProposed: boolean): Turn {
  const untaken = untakenPlaces(rounds)
  const own = untaken.find(({ seat }) => seat.agentId === asker.agentId)
  if (own) return { kind: 'seat', ...own }
  const newest = rounds.at(-1)
  const isInTheWay = ({ seat, round }: Place) => {
    if (round === newest) return false
    const task = outstanding.find(({ taskId }) => taskId === seat.taskId)
    return seat.taskId === null || (task !== undefined && !task.overdue)
  }
  const isAlone = members.length === 1
  if (!isAllProposed && (isAlone || !placesOf(rounds).some(isInTheWay))) return { kind: 'open' }
  // Somebody who works will come for its seat; who does not may be gone.
  const isAtWork = (agentId: string) => outstanding.some((task) => task.agentId === agentId && !task.overdue)
  const abandoned = untaken.find(({ seat }) => !isAtWork(seat.agentId))
  return abandoned ? { kind: 'seat', ...abandoned } : { kind: 'wait' }
}

/** Local steps of an agent's seat in the newest round; null where it has none, or nobody shares that round. */
function sharedSteps(rounds: readonly Round[], agentId: string): number | null {
  const seats = rounds.at(-1)?.seats ?? []
  return seats.length > 1 ? (seats.find((seat) => seat.agentId === agentId)?.steps ?? null) : null
}

/** The rounds in which somebody still has something to do, and the newest. */
function withoutEnded(rounds: readonly Round[], outstanding: readonly Outstanding[]): Round[] {
  const isOut = (taskId: number | null) => taskId === null || outstanding.some((task) => task.taskId === taskId)
  return rounds.filter((round, i) => i === rounds.length - 1 || round.seats.some((seat) => isOut(seat.taskId)))
}

export {
  ALONE,
  type Attendance,
  effectiveSteps,
  type FillSeat,
  type Member,
  openRound,
  type Outstanding,
  type Round,
  type RoundPlan,
  roundSchema,
  type Seat,
  sharedSteps,
  takeTurn,
  untakenPlaces,
  withoutEnded,
  workOf,
}
