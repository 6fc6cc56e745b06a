// The rounds of a measurement, wherever it runs: which order, and when there are enough. A round times every subject once, in an
// order drawn anew; table/rounds.ts says what the samples mean.

import type { Random } from '../../search-space/index.ts'
import { MIN_ROUNDS } from '../table/rounds.ts'
import { DEFAULT_PRECISION, MAX_ROUNDS, MIN_ROUNDS_FOR_ENOUGH } from './limits.ts'

/** Something that can be timed once: resolves to milliseconds. */
type Subject = { sample(): Promise<number> }

type RoundsSoFar = {
  readonly count: number
  /** How many were asked for; without it time and precision decide. */
  readonly wanted?: number | undefined
  readonly spentMs: number
  readonly budgetMs: number
  /** Of the least certain median, as worstHalfWidth gives it. */
  readonly halfWidth: number
  /** What half width is enough; default 0.02. */
  readonly precision?: number | undefined
}

/** The indices of the subjects in the order of the next round. */
function drawOrder(subjectCount: number, random: Random): Int32Array {
  return random.shuffle(Int32Array.from({ length: subjectCount }, (_, index) => index))
}

/** Whether another round is to be made. */
function needsMoreRounds({ count, wanted, spentMs, budgetMs, halfWidth, precision = DEFAULT_PRECISION }: RoundsSoFar): boolean {
  if (count >= Math.min(wanted ?? MAX_ROUNDS, MAX_ROUNDS)) return false
  if (wanted !== undefined || count < MIN_ROUNDS) return true
  return spentMs < budgetMs && !(count >= MIN_ROUNDS_FOR_ENOUGH && halfWidth <= precision)
}

export { drawOrder, needsMoreRounds, type Subject }
