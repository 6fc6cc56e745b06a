// How much of a search there is: a number of weight steps, or hours of work.
//
// Hours are those in which agents work: time in which nobody holds a task, as while a search is paused or no agent is there, counts
// up to the length of a lease at a time. Schedules then follow the time that has passed and not a number of steps, since nobody
// knows beforehand how many there will be: the learning rate of a task is that of the moment at which its round was opened, as a
// position in `training.steps`, which agents know and which is nothing but that unit.

import * as z from 'zod'
import { invalidField } from '../protocol/index.ts'
import type { Attendance } from './rounds.ts'
import type { StrategyContext } from './strategy.ts'

const MS_PER_HOUR = 3_600_000

/** Of a search by hours; absent in others, and before its first task. */
const clockSchema = z.strictObject({
  /** Milliseconds of work so far. */
  workedMs: z.number().min(0),
  /** When that was counted. */
  atMs: z.number().min(0),
})
type Clock = z.infer<typeof clockSchema>

/** Share of the hours that has passed, 0 to 1; null where the search is so many steps long. */
function shareOfHours({ config }: StrategyContext, clock: Clock | undefined): number | null {
  const { hours } = config.training
  return hours === undefined ? null : Math.min(1, (clock?.workedMs ?? 0) / (hours * MS_PER_HOUR))
}

/** Of the hours. */
function millisecondsLeft({ config }: StrategyContext, { workedMs }: Clock): number {
  return Math.max(0, (config.training.hours ?? 0) * MS_PER_HOUR - workedMs)
}

/** The clock at the moment at which an agent asks for work. */
function readClock({ config }: StrategyContext, clock: Clock | undefined, { nowMs, outstanding }: Attendance): Clock | undefined {
  if (config.training.hours === undefined) return undefined
  if (!clock) return { workedMs: 0, atMs: nowMs }
  const passedMs = Math.max(0, nowMs - clock.atMs)
  const isAtWork = outstanding.some(({ agentId }) => agentId !== null)
  return { workedMs: clock.workedMs + (isAtWork ? passedMs : Math.min(passedMs, config.tasks.leaseMs)), atMs: nowMs }
}

/** Throws ProblemError `invalid-request` where a search that has no use for hours is given some. */
function refuseHours({ config }: StrategyContext): void {
  if (config.training.hours === undefined) return
  throw invalidField('training.hours', `strategy ${config.strategy.name} takes its length from its own settings, not from hours`)
}

export { type Clock, clockSchema, millisecondsLeft, readClock, refuseHours, shareOfHours }
