// The right to push what a task has learnt. The search says at the lease what it is, the Worker signs it, the agent shows it with each push,
// and a shard knows from it what the task may change, without asking its search.

import * as z from 'zod'
import { agentIdSchema, leaseIdSchema, searchIdSchema, taskIdSchema, tokenIdSchema } from './ids.ts'

const OPTIONS_PER_DIGIT = 4
const HEXADECIMAL = 16

const pushRightSchema = z.strictObject({
  searchId: searchIdSchema,
  taskId: taskIdSchema,
  leaseId: leaseIdSchema,
  agentId: agentIdSchema,
  /** Of whom the lease was given to; null: the administrator. */
  tokenId: tokenIdSchema.nullable(),
  /** Options that paths of the task take (printOptions). */
  options: z.string().regex(/^[0-9a-f]*$/),
  /** Agents of the task's round. */
  members: z.int().min(1),
  /** Whether velocities go with the weights. */
  velocities: z.boolean(),
  /** How often the search had been taken back when the lease was given; left out: never. A shard takes nothing of before the last time. */
  rollbacks: z.int().min(1).optional(),
})
type PushRight = z.infer<typeof pushRightSchema>

/**
 * Options that are used, as hexadecimal digits: one bit for each option of each decision in their order, four to a digit, the highest first.
 *
 * @param counts options of each decision
 */
function printOptions(counts: readonly number[], used: readonly (readonly number[])[]): string {
  const bits = counts.flatMap((count, decision) => Array.from({ length: count }, (_, option) => (used[decision]?.includes(option) ? 1 : 0)))
  let digits = ''
  for (let i = 0; i < bits.length; i += OPTIONS_PER_DIGIT) {
    digits += [0, 1, 2, 3].reduce((digit, bit) => 2 * digit + (bits[i + bit] ?? 0), 0).toString(HEXADECIMAL)
  }
  return digits
}

/** The inverse of printOptions. */
function parseOptions(counts: readonly number[], digits: string): number[][] {
  let place = 0
  const next = () => {
    const digit = Number.parseInt(digits[Math.floor(place / OPTIONS_PER_DIGIT)] ?? '0', HEXADECIMAL)
    const bit = (digit >> (OPTIONS_PER_DIGIT - 1 - (place % OPTIONS_PER_DIGIT))) & 1
    place += 1
    return bit === 1
  }
  return counts.map((count) => Array.from({ length: count }, (_, option) => option).filter(() => next()))
}

export { parseOptions, printOptions, type PushRight, pushRightSchema }
