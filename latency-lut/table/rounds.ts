// The rounds of a measurement as entries of a table. A round has one sample of every subject. Of all rounds together, in this
// order: what a whole round was slower or faster than the others is divided out (robust.ts), outliers by median absolute
// deviation are dropped, and the centre is the median.

import { median, relativeHalfWidth, removeDrift, roundEffects, standardDeviation, withoutOutliers } from './robust.ts'
import type { LatencyEntry } from './table.ts'

/** A median of fewer says nothing about outliers. */
const MIN_ROUNDS = 5
/** Removing drift compares each subject with the others: with fewer than this there is nothing to compare with. */
const MIN_SUBJECTS_FOR_DRIFT = 6

/** Milliseconds of every subject, one list per round. */
type Rounds = readonly (readonly number[])[]

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

export { cleanRounds, entriesOf, entryOf, MIN_ROUNDS, type Rounds, worstHalfWidth }
