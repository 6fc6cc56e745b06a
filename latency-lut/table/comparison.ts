// Two tables side by side, key by key.

import type { LatencyTable } from './table.ts'

type Comparison = {
  readonly onlyInA: readonly string[]
  readonly onlyInB: readonly string[]
  /** Keys of both, in the order of A. `ratio`: B's mean over A's. */
  readonly common: readonly { readonly key: string; readonly aMs: number; readonly bMs: number; readonly ratio: number }[]
  /** Over the common keys; NaN without any. */
  readonly overall: {
    readonly aMs: number
    readonly bMs: number
    /** Of the sums: what the slow operations say. */
    readonly ratio: number
    /** Geometric mean of the ratios: every key counts the same. */
    readonly typicalRatio: number
  }
}

function compareTables(a: LatencyTable, b: LatencyTable): Comparison {
  const keysOf = (table: LatencyTable) => Object.keys(table.entries)
  const common = Object.entries(a.entries).flatMap(([key, { meanMs: aMs }]) => {
    const bMs = Object.hasOwn(b.entries, key) ? b.entries[key]?.meanMs : undefined
    return bMs === undefined ? [] : [{ key, aMs, bMs, ratio: bMs / aMs }]
  })
  const aMs = common.reduce((sum, entry) => sum + entry.aMs, 0)
  const bMs = common.reduce((sum, entry) => sum + entry.bMs, 0)
  return {
    onlyInA: keysOf(a).filter((key) => !Object.hasOwn(b.entries, key)),
    onlyInB: keysOf(b).filter((key) => !Object.hasOwn(a.entries, key)),
    common,
    overall: {
      aMs,
      bMs,
      ratio: bMs / aMs,
      typicalRatio: Math.exp(common.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / common.length),
    },
  }
}

export { compareTables, type Comparison }
