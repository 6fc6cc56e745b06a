// What the searches are limited by: multiply-accumulates of the recorded networks, in millions, or their latency by a table. Searched are
// networks of the same choices that may be narrower, so that costs are those of each choice in the recorded network, under the keys of the
// narrow one: a latency table for the strategies.

import { CliError } from '../command-line/exit-codes.ts'
import { coverSpace, latencyCosts, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import type { LatencyTable } from '../latency-lut/table/table.ts'
import { costsOfParts, pathCost, type Path, type Space } from '../search-space/index.ts'
import { MILLION } from './settings.ts'

type Costs = {
  /** For people. */
  readonly unit: 'million MACs' | 'ms'
  /** As a strategy's context has it; milliseconds, or millions of multiply-accumulates in their place. */
  readonly latency: SpaceLatency
  of(path: Path): number
}

function macsOf(space: Space): SpaceLatency {
  const { fixed, options } = costsOfParts(space, ({ macs }) => macs / MILLION)
  return { fixedMs: fixed, operationMs: options }
}

/**
 * Throws CliError `usage` for a table that lacks an operation of the space.
 *
 * @param recorded the space of the recorded networks, whose costs are sums over single decisions
 */
function costsOf(recorded: Space, table: LatencyTable | null): Costs {
  const build = (unit: Costs['unit'], latency: SpaceLatency): Costs => {
    const costs = latencyCosts(latency)
    return { unit, latency, of: (path) => pathCost(costs, path) }
  }
  if (!table) return build('million MACs', macsOf(recorded))
  const coverage = coverSpace(recorded, table)
  if (coverage.kind === 'covered') return build('ms', coverage.latency)
  throw new CliError('usage', `the latency table ${table.name} lacks ${coverage.keys.join(', ')}; measure it with --space nas-bench-macro`)
}

export { type Costs, costsOf }
