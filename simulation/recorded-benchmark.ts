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

/** Architectures better than this one by their mean accuracy, plus one. */
function rankOf(benchmark: RecordedBenchmark, paths: Iterable<Path>, path: Path): number {
  const meanOf = (one: Path) => {
    const recorded = benchmark.read(one)
    if (recorded === 'not-recorded') return Number.NEGATIVE_INFINITY
    return recorded.accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / recorded.accuracies.length
  }
  const own = meanOf(path)
  let better = 0
  for (const other of paths) if (meanOf(other) > own) better += 1
  return better + 1
}

export { rankOf, type Recorded, type RecordedBenchmark }
