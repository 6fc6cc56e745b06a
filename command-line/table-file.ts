// Latency tables that a person names, as `latency-lut profile` writes them.

import { coverSpace, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import { type LatencyTable, latencyTableSchema } from '../latency-lut/table/table.ts'
import { fieldErrors } from '../protocol/index.ts'
import { CliError } from './exit-codes.ts'
import { readJsonFile } from './json-file.ts'

/** Throws CliError `usage`, naming the file and each wrong field. */
async function readTableFile(file: string): Promise<LatencyTable> {
  return parseTable(file, await readJsonFile(file))
}

/** As `readTableFile`, of what was read. */
function parseTable(file: string, content: unknown): LatencyTable {
  const parsed = latencyTableSchema.safeParse(content)
  if (parsed.success) return parsed.data
  throw new CliError('usage', `${file} is not a latency table`, fieldErrors(parsed.error))
}

/** What a table says of a space. Throws CliError `usage`, naming the keys, where the table does not cover it. */
function latencyOf(space: Parameters<typeof coverSpace>[0], table: LatencyTable): SpaceLatency {
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'covered') return coverage.latency
  throw new CliError(
    'usage',
    `table ${table.name} does not cover ${space.name}`,
    coverage.keys.map((key) => ({ path: key, message: 'missing' })),
  )
}

export { latencyOf, parseTable, readTableFile }
