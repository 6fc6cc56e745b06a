// Latency of a space's operations by a table. A missing entry is never taken for zero: it is named.

import { combinationAt, combinationIndex, optionCounts, type Path, type Space } from '../../search-space/index.ts'
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

/** Latency of one architecture, milliseconds for one batch. */
function pathLatencyMs({ fixedMs, operationMs, joint = [] }: SpaceLatency, path: Path): number {
  const single = path.reduce((sum, option, decision) => sum + (operationMs[decision]?.[option] ?? Number.NaN), fixedMs)
  return joint.reduce((sum, { decisions, ms }) => {
    const counts = decisions.map((decision) => (operationMs[decision] as readonly number[]).length)
    const options = decisions.map((decision) => path[decision] as number)
    return sum + (ms[combinationIndex(counts, options)] ?? Number.NaN)
  }, single)
}

/**
 * Sums of a joint term over all combinations of its options, each weighted by the probabilities of all but one of them.
 * `visit` gets the position of that one in `decisions`, its option, and the weighted milliseconds.
 */
function visitJoint(
  { decisions, ms }: JointLatency,
  probabilities: readonly (readonly number[])[],
  visit: (position: number, option: number, weightedMs: number) => void,
): void {
  const rows = decisions.map((decision) => probabilities[decision] ?? [])
  const counts = rows.map(({ length }) => length)
  for (const [index, value] of ms.entries()) {
    const options = combinationAt(counts, index)
    for (const [position, option] of options.entries()) {
      const weight = options.reduce((product, other, at) => (at === position ? product : product * (rows[at]?.[other] ?? Number.NaN)), 1)
      visit(position, option, weight * value)
    }
  }
}

/**
 * Latency expected when decision b takes option j with probability `probabilities[b][j]`, each by itself, milliseconds:
 * E = fixed + Σ_b Σ_j p_bj F_bj + Σ_(a,b) Σ_ij p_ai p_bj F_ab(i,j).
 */
function expectedLatencyMs(latency: SpaceLatency, probabilities: readonly (readonly number[])[]): number {
  const single = probabilities.reduce(
    (sum, row, decision) => sum + row.reduce((part, p, option) => part + p * (latency.operationMs[decision]?.[option] ?? Number.NaN), 0),
    latency.fixedMs,
  )
  let sum = single
  for (const term of latency.joint ?? []) {
    const first = probabilities[term.decisions[0] as number] ?? []
    visitJoint(term, probabilities, (position, option, ms) => {
      if (position === 0) sum += (first[option] ?? Number.NaN) * ms
    })
  }
  return sum
}

/** dE/dp of `expectedLatencyMs`, [decision][option], milliseconds. */
function expectedLatencySlopes(latency: SpaceLatency, probabilities: readonly (readonly number[])[]): readonly (readonly number[])[] {
  if (!latency.joint) return latency.operationMs
  const slopes = latency.operationMs.map((row) => [...row])
  for (const term of latency.joint) {
    visitJoint(term, probabilities, (position, option, ms) => {
      const row = slopes[term.decisions[position] as number] as number[]
      row[option] = (row[option] as number) + ms
    })
  }
  return slopes
}

/** Milliseconds that no architecture goes below, and none above. Exact where latency is a sum over single decisions. */
function latencyBounds({ fixedMs, operationMs, joint = [] }: SpaceLatency): { leastMs: number; mostMs: number } {
  const rows = [...operationMs, ...joint.map(({ ms }) => ms)]
  return {
    leastMs: rows.reduce((sum, row) => sum + Math.min(...row), fixedMs),
    mostMs: rows.reduce((sum, row) => sum + Math.max(...row), fixedMs),
  }
}

export {
  type Coverage,
  coverSpace,
  expectedLatencyMs,
  expectedLatencySlopes,
  findEntry,
  type JointLatency,
  latencyBounds,
  pathLatencyMs,
  predictedPart,
  type SpaceLatency,
}
