// Latency without a device, for searches that need a table and no device's.

import { latencyTableSchema } from '../latency-lut/table/table.ts'
import type { Space } from '../search-space/index.ts'

/** A table in which an operation costs in proportion to its multiply-accumulates, and a little for being there. */
function macsTable(space: Space) {
  const entries = Object.fromEntries(
    space.measurableOperations().map(({ latencyKey, macs }) => [latencyKey, { meanMs: 0.05 + macs / 1e7, stdMs: 0.01, count: 10 }]),
  )
  return latencyTableSchema.parse({
    name: 'bench',
    device: { name: 'multiply-accumulates' },
    runtime: { name: 'formula' },
    inputShape: [...space.input],
    entries,
  })
}

export { macsTable }
