// Latency of a space's operations by a table. A missing entry is never taken for zero: it is named.

import {
  combinationAt,
  costRange,
  type DecisionCosts,
  expectedCost,
  expectedCostSlopes,
  optionCounts,
  type Path,
  pathCost,
  type Space,
} from '../../search-space/index.ts'
import { variantKey } from './keys.ts'
import type { Correction, LatencyEntry, LatencyTable } from './table.ts'

/** Latency that depends on several decisions at once. */
type JointLatency = {
  /** Indices, ascending, two or more. */
  readonly decisions: readonly number[]
  /** By the options of these decisions, those of the last one counting fastest. */
  readonly ms: readonly number[]
}

/** Latency of every choice of a space, milliseconds for one batch. */
type SpaceLatency = {
  /** The parts that every architecture has, the table's own fixed part, and the offset of its correction. */
  readonly fixedMs: number
  /** [decision][option] of what depends on one decision; Zero costs 0. */
  readonly operationMs: readonly (readonly number[])[]
  /** Left out where latency is a sum over single decisions. */
  readonly joint?: readonly JointLatency[] | undefined
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
  /** [decision][option]: whether any of its latency was predicted. */
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
  const operationMs = space.decisions.map(({ options }) => options.map(() => 0))
  const joint: JointLatency[] = []
  for (const { decisions, parts } of space.terms) {
    const ms = parts.map((own) => own.reduce((sum, { latencyKey }) => sum + (latencyKey === null ? 0 : lookUp(latencyKey)), 0))
    const [decision] = decisions
    if (decision === undefined) fixedMs += ms[0] ?? 0
    else if (decisions.length === 1)
      operationMs[decision] = (operationMs[decision] ?? []).map((sum, option) => sum + (ms[option] as number))
    else joint.push({ decisions, ms })
  }
  if (missing.size > 0) return { kind: 'missing', keys: [...missing] }
  return { kind: 'covered', latency: corrected({ fixedMs, operationMs, ...(joint.length > 0 && { joint }) }, table.correction) }
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
    ...(latency.joint && { joint: latency.joint.map(({ decisions, ms }) => ({ decisions, ms: ms.map((value) => factor * value) })) }),
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
  const operations = space.decisions.map(({ options }) => options.map(() => false))
  for (const term of space.terms) {
    const counts = optionCounts(space, term)
    for (const [index, parts] of term.parts.entries()) {
      // Every key is looked at, so that each counts.
      const predicted = parts.filter(({ latencyKey }) => isPredicted(latencyKey)).length > 0
      if (!predicted) continue
      for (const [position, option] of combinationAt(counts, index).entries()) {
        const row = operations[term.decisions[position] as number] as boolean[]
        row[option] = true
      }
    }
  }
  if (errors.size === 0) return null
  const all = [...errors.values()]
  return {
    count: all.length,
    rmseMs: (table.correction?.factor ?? 1) * Math.sqrt(all.reduce((sum, { rmseMs }) => sum + rmseMs ** 2, 0) / all.length),
    mapePct: all.reduce((sum, { mapePct }) => sum + mapePct, 0) / all.length,
    operations,
  }
}

/** The same, as costs of decisions. */
function latencyCosts({ fixedMs, operationMs, joint = [] }: SpaceLatency): DecisionCosts {
  return { fixed: fixedMs, options: operationMs, joint: joint.map(({ decisions, ms }) => ({ decisions, values: ms })) }
}

/** Latency of one architecture, milliseconds for one batch. */
function pathLatencyMs(latency: SpaceLatency, path: Path): number {
  return pathCost(latencyCosts(latency), path)
}

/** Latency expected when decision b takes option j with probability `probabilities[b][j]`, each by itself, milliseconds. */
function expectedLatencyMs(latency: SpaceLatency, probabilities: readonly (readonly number[])[]): number {
  return expectedCost(latencyCosts(latency), probabilities)
}

/** dE/dp of `expectedLatencyMs`, [decision][option], milliseconds. */
function expectedLatencySlopes(latency: SpaceLatency, probabilities: readonly (readonly number[])[]): readonly (readonly number[])[] {
  return expectedCostSlopes(latencyCosts(latency), probabilities)
}

/** Milliseconds that no architecture goes below, and none above. Exact where latency is a sum over single decisions. */
function latencyBounds(latency: SpaceLatency): { leastMs: number; mostMs: number } {
  const { least, most } = costRange(latencyCosts(latency))
  return { leastMs: least, mostMs: most }
}

export {
  type Coverage,
  coverSpace,
  expectedLatencyMs,
  expectedLatencySlopes,
  findEntry,
  type JointLatency,
  latencyBounds,
  latencyCosts,
  pathLatencyMs,
  predictedPart,
  type SpaceLatency,
}
