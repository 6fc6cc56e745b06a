// Latency of a space's operations by a table. A missing entry is never taken for zero: it is named.

import type { Path, Space } from '../search-space/index.ts'
import type { LatencyTable } from './table.ts'

/** Latency of every choice of a space, milliseconds for one batch. */
type SpaceLatency = {
  /** The parts that every architecture has, and the table's own fixed part. */
  readonly fixedMs: number
  /** [block][operation]; Zero costs 0. */
  readonly operationMs: readonly (readonly number[])[]
}

type Coverage =
  | { readonly kind: 'covered'; readonly latency: SpaceLatency }
  | { readonly kind: 'missing'; readonly keys: readonly string[] }

/** Looks up every key that the space needs. */
function coverSpace(space: Space, table: LatencyTable): Coverage {
  const missing = new Set<string>()
  const lookUp = (key: string): number => {
    const entry = table.entries[key]
    if (!entry) missing.add(key)
    return entry?.meanMs ?? Number.NaN
  }
  let fixedMs = table.fixedMs
  for (const part of space.fixedParts) fixedMs += lookUp(part.latencyKey)
  const operationMs = space.blocks.map((block) =>
    block.operations.map((operation) => (operation.latencyKey === null ? 0 : lookUp(operation.latencyKey))),
  )
  return missing.size > 0 ? { kind: 'missing', keys: [...missing] } : { kind: 'covered', latency: { fixedMs, operationMs } }
}

/** Latency of one architecture: fixed part plus the chosen operations, milliseconds for one batch. */
function pathLatencyMs(latency: SpaceLatency, path: Path): number {
  return path.reduce((sum, operation, block) => sum + (latency.operationMs[block]?.[operation] ?? Number.NaN), latency.fixedMs)
}

/** Latency expected when block b chooses operation j with probability `probabilities[b][j]`, milliseconds. */
function expectedLatencyMs(latency: SpaceLatency, probabilities: readonly (readonly number[])[]): number {
  return probabilities.reduce(
    (sum, block, index) =>
      sum + block.reduce((part, probability, j) => part + probability * (latency.operationMs[index]?.[j] ?? Number.NaN), 0),
    latency.fixedMs,
  )
}

export { type Coverage, coverSpace, expectedLatencyMs, pathLatencyMs, type SpaceLatency }
