// What the architectures of a space take by a latency table, as a search with these settings sees it.

import type { CliError } from '../command-line/exit-codes.ts'
import { coverSpace, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import { fillMissing } from '../latency-lut/table/prediction.ts'
import type { LatencyTable } from '../latency-lut/table/table.ts'
import type { SearchConfig } from '../protocol/index.ts'
import type { Space } from '../search-space/index.ts'

type CoveredSpace = {
  /** The table, with what it lacks predicted where that is wanted. */
  readonly complete: LatencyTable
  readonly latency: SpaceLatency
}

/** @param lacking the error to throw where the table lacks keys */
function latencyOfSpace(
  space: Space,
  table: LatencyTable,
  missing: SearchConfig['latency']['missing'],
  lacking: (keys: readonly string[]) => CliError,
): CoveredSpace {
  const complete = missing === 'predict' ? fillMissing(space, table).table : table
  const coverage = coverSpace(space, complete)
  if (coverage.kind === 'covered') return { complete, latency: coverage.latency }
  throw lacking(coverage.keys)
}

export { latencyOfSpace }
