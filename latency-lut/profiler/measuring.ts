// The rounds of a measurement, wherever it runs: which order, when there are enough, and what the samples say.
//
// A round times every subject once, in an order drawn anew. Of all rounds together, in this order: what a whole round was
// slower or faster than the others is divided out (robust.ts), outliers by median absolute deviation are dropped, and the
// centre is the median.

import type { Random } from '../../search-space/index.ts'
import { DEFAULT_PRECISION, MAX_ROUNDS, MIN_ROUNDS, MIN_ROUNDS_FOR_ENOUGH, MIN_SUBJECTS_FOR_DRIFT } from './limits.ts'
import { median, relativeHalfWidth, removeDrift, roundEffects, standardDeviation, withoutOutliers } from '../table/robust.ts'
import type { LatencyEntry } from '../table/table.ts'

/** Something that can be timed once: resolves to milliseconds. */
type Subject = { sample(): Promise<number> }

/** Milliseconds of every subject, one list per round. */
type Rounds = readonly (readonly number[])[]

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

/**
 * Samples of each subject that mean something, outliers dropped and drift divided out where there are enough subjects to see
 * it; and that drift, a factor's logarithm per round.
 */
function cleanRounds(rounds: Rounds, subjectCount: number): { samples: number[][]; effects: number[] } {
  const bySubject = Array.from({ length: subjectCount }, (_, subject) => rounds.map((round) => round[subject] as number))
  const effects = subjectCount >= MIN_SUBJECTS_FOR_DRIFT ? roundEffects(bySubject) : rounds.map(() => 0)
  return { samples: removeDrift(bySubject, effects).map(withoutOutliers), effects }
}

/** Of the least certain median: half of its 95 % interval as a share of it; infinite for fewer than six rounds. */
function worstHalfWidth(rounds: Rounds, subjectCount: number): number {
  return Math.max(...cleanRounds(rounds, subjectCount).samples.map(relativeHalfWidth))
}

/** Median, spread and number of some samples. */
function entryOf(samples: readonly number[]): LatencyEntry {
  return { meanMs: median(samples), stdMs: standardDeviation(samples), count: samples.length }
}

/** An entry for each subject, in their order. */
function entriesOf(rounds: Rounds, subjectCount: number): LatencyEntry[] {
  return cleanRounds(rounds, subjectCount).samples.map(entryOf)
}

export { cleanRounds, drawOrder, entriesOf, entryOf, needsMoreRounds, type Rounds, type Subject, worstHalfWidth }
