// Latency of a space's operations by a table. A missing entry is never taken for zero: it is named.

import type { Path, Space } from '../../search-space/index.ts'
import { variantKey } from './keys.ts'
import type { Correction, LatencyEntry, LatencyTable } from './table.ts'

/** Latency of every choice of a space, milliseconds for one batch. */
type SpaceLatency = {
  /** The parts that every architecture has, the table's own fixed part, and the offset of its correction. */
  readonly fixedMs: number
  /** [block][operation]; Zero costs 0. */
  readonly operationMs: readonly (readonly number[])[]
}

type Coverage =
  | { readonly kind: 'covered'; readonly latency: SpaceLatency }
  | { readonly kind: 'missing'; readonly keys: readonly string[] }

/** How much of a space's latency was predicted, not measured. */
type PredictedPart = {
  /** Keys. */
  readonly count: number
  /** Root of the mean square of the entries' cross-validated errors, milliseconds. */
  readonly rmseMs: number
  /** Mean of the entries' cross-validated errors, percent. */
  readonly mapePct: number
  /** [block][operation]: whether its latency was predicted. */
  readonly operations: readonly (readonly boolean[])[]
}

/** A table's entry for an operation of a space, under either of the names that tables have for it. */
function findEntry(table: Pick<LatencyTable, 'entries'>, key: string): LatencyEntry | undefined {
  const find = (name: string) => (Object.hasOwn(table.entries, name) ? table.entries[name] : undefined)
  const entry = find(key)
  if (entry) return entry
  const variant = variantKey(key)
  return variant === null ? undefined : find(variant)
}

/** Looks up every key that the space needs. */
function coverSpace(space: Space, table: LatencyTable): Coverage {
  const missing = new Set<string>()
  const lookUp = (key: string): number => {
    const entry = findEntry(table, key)
    if (!entry) missing.add(key)
    return entry?.meanMs ?? Number.NaN
  }
  let fixedMs = table.fixedMs
  for (const part of space.fixedParts) fixedMs += lookUp(part.latencyKey)
  const operationMs = space.blocks.map((block) =>
    block.operations.map((operation) => (operation.latencyKey === null ? 0 : lookUp(operation.latencyKey))),
  )
  if (missing.size > 0) return { kind: 'missing', keys: [...missing] }
  return { kind: 'covered', latency: corrected({ fixedMs, operationMs }, table.correction) }
}

/**
 * The latency of every network becomes offset + factor · latency. Applied here, to what everything else computes with,
 * so that sums, expectations and gradients need not know of it.
 */
function corrected(latency: SpaceLatency, correction: Correction | undefined): SpaceLatency {
  if (!correction) return latency
  const { offsetMs, factor } = correction
  return {
    fixedMs: offsetMs + factor * latency.fixedMs,
    operationMs: latency.operationMs.map((operations) => operations.map((ms) => factor * ms)),
  }
}

/** The predicted entries among those that a space needs; null if all of them were measured. */
function predictedPart(space: Space, table: LatencyTable): PredictedPart | null {
  const errors = new Map<string, NonNullable<LatencyEntry['predicted']>>()
  const isPredicted = (key: string | null): boolean => {
    const predicted = key === null ? undefined : findEntry(table, key)?.predicted
    if (key !== null && predicted) errors.set(key, predicted)
    return predicted !== undefined
  }
  for (const part of space.fixedParts) isPredicted(part.latencyKey)
  const operations = space.blocks.map((block) => block.operations.map(({ latencyKey }) => isPredicted(latencyKey)))
  if (errors.size === 0) return null
  const all = [...errors.values()]
  return {
    count: all.length,
    rmseMs: (table.correction?.factor ?? 1) * Math.sqrt(all.reduce((sum, { rmseMs }) => sum + rmseMs ** 2, 0) / all.length),
    mapePct: all.reduce((sum, { mapePct }) => sum + mapePct, 0) / all.length,
    operations,
  }
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

export { type Coverage, coverSpace, expectedLatencyMs, findEntry, pathLatencyMs, predictedPart, type SpaceLatency }
