// Trainings that somebody has done and written down, to run searches on without training anything.

import type { ScoreName } from '../protocol/index.ts'
import type { Path, SpaceConfig } from '../search-space/index.ts'
import type { RecordedCosts } from '../strategies/index.ts'

/** Of a training that was shorter, with a schedule of its own. */
type EarlyRecord = { readonly epochs: number; readonly accuracy: number; readonly seconds: number | null }

type Recorded = {
  /** What a search is shown, 0 to 1: of each training of the architecture, or their mean. */
  readonly accuracies: readonly number[]
  /** Accuracy on images that no search is shown, 0 to 1; null where there are none. */
  readonly test: number | null
  /** What the training took; null where nobody wrote it down. */
  readonly seconds: number | null
  /** Left out where there are none. */
  readonly early?: readonly EarlyRecord[]
}

type RecordedScores = {
  /** Null for an architecture that has none, which is worse than any number. */
  read(name: ScoreName, path: Path): number | null | 'not-recorded'
}

type RecordedBenchmark = {
  readonly name: string
  /** Whose work it is. */
  readonly citation: string
  readonly space: SpaceConfig
  /** Images that accuracies were measured on, or as many as their precision wants. */
  readonly images: number
  /** Of the trainings; null where nobody says. */
  readonly epochs: number | null
  /** All architectures that have a record. */
  paths(): Iterable<Path>
  read(path: Path): Recorded | 'not-recorded'
  /** What else was measured of them; left out: nothing. */
  readonly costs?: RecordedCosts
  /** The architecture of a row, where rows are numbered: other tables refer to them. */
  readonly byIndex?: ReadonlyMap<string, Path>
  /** Without training; default: none. */
  readonly scores?: RecordedScores
}

/** What an architecture came to after so many epochs, and in how many seconds; `epochs` null: in full. */
type RecordedTraining = { readonly accuracies: readonly number[]; readonly seconds: number | null; readonly epochs: number | null }

/**
 * The record of a training of an architecture. Seconds that nobody wrote down are in proportion to the epochs of a training whose seconds
 * are there.
 *
 * @param asked epochs; undefined: those of the recorded trainings
 */
function recordedTraining(
  { epochs: all, read }: Pick<RecordedBenchmark, 'epochs' | 'read'>,
  path: Path,
  asked: number | undefined,
): RecordedTraining | 'not-recorded' {
  const recorded = read(path)
  if (recorded === 'not-recorded') return recorded
  const early = recorded.early?.find(({ epochs }) => epochs === asked)
  if (early) return { accuracies: [early.accuracy], seconds: early.seconds, epochs: early.epochs }
  if (asked !== undefined && all !== null && asked !== all) return 'not-recorded'
  const longest = recorded.early?.findLast(({ seconds }) => seconds !== null)
  const scaled = longest?.seconds != null && all !== null ? (longest.seconds * all) / longest.epochs : null
  return { accuracies: recorded.accuracies, seconds: recorded.seconds ?? scaled, epochs: null }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** The best that a search can find, and the place of any architecture among all that have a record: rank 1 is the best. */
type Ranking = { readonly best: number; readonly count: number; rankOf(path: Path): number }

/**
 * By the mean of what a search is shown. An architecture without a record comes last, as one does that a search must not end with.
 *
 * @param counts whether an architecture is one that a search may end with
 */
function createRanking(benchmark: RecordedBenchmark, counts: (path: Path) => boolean = () => true): Ranking {
  const meanOf = (path: Path): number => {
    const recorded = benchmark.read(path)
    return recorded === 'not-recorded' || !counts(path) ? Number.NEGATIVE_INFINITY : mean(recorded.accuracies)
  }
  const all = Float64Array.from([...benchmark.paths()].filter(counts).map(meanOf)).sort()
  return {
    best: all.at(-1) ?? Number.NaN,
    count: all.length,
    rankOf(path) {
      const own = meanOf(path)
      let [low, high] = [0, all.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if ((all[middle] as number) > own) high = middle
        else low = middle + 1
      }
      return 1 + all.length - low
    },
  }
}

export {
  createRanking,
  type EarlyRecord,
  mean,
  type Ranking,
  type Recorded,
  type RecordedBenchmark,
  type RecordedScores,
  recordedTraining,
  type RecordedTraining,
}
