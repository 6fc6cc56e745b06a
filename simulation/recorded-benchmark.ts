// Trainings that somebody has done and written down, to run searches on without training anything.

import type { Path, SpaceConfig } from '../search-space/index.ts'

type Recorded = {
  /** 0 to 1, of each training of the architecture. */
  readonly accuracies: readonly number[]
}

type RecordedBenchmark = {
  readonly name: string
  /** Whose work it is. */
  readonly citation: string
  readonly space: SpaceConfig
  /** Images that accuracies were measured on. */
  readonly images: number
  read(path: Path): Recorded | 'not-recorded'
}

/** How many of `paths` are better than one of them by their mean accuracy, plus one; what has no record is the worst. */
function createRanking(benchmark: RecordedBenchmark, paths: Iterable<Path>): (path: Path) => number {
  const meanOf = (path: Path): number => {
    const recorded = benchmark.read(path)
    if (recorded === 'not-recorded') return Number.NEGATIVE_INFINITY
    return recorded.accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / recorded.accuracies.length
  }
  const all = [...paths].map(meanOf)
  return (path) => {
    const own = meanOf(path)
    return 1 + all.filter((other) => other > own).length
  }
}

export { createRanking, type Recorded, type RecordedBenchmark }
