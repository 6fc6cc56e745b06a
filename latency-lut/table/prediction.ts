// Predictions for a whole table: filling what a space needs and the table lacks, and finding out how far off they are.

import type { Space } from '../../search-space/index.ts'
import { coverSpace } from './coverage.ts'
import { type Accuracy, accuracyOf, fitPredictor } from './predictor.ts'
import type { LatencyEntry, LatencyTable } from './table.ts'

/** A key that F cannot predict, and why. */
type Refused = { readonly key: string; readonly reason: string }

type Filled = {
  /** The table with every prediction that could be made, each marked as such. */
  readonly table: LatencyTable
  readonly predicted: Readonly<Record<string, LatencyEntry>>
  readonly refused: readonly Refused[]
}

/** Adds a predicted entry for each key that the space needs and the table lacks. A table that covers the space stays as it is. */
function fillMissing(space: Space, table: LatencyTable): Filled {
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'covered') return { table, predicted: {}, refused: [] }
  const predictor = fitPredictor(table)
  const predicted: Record<string, LatencyEntry> = {}
  const refused: Refused[] = []
  for (const key of coverage.keys) {
    const prediction = predictor.predict(key)
    if (prediction.kind === 'predicted') predicted[key] = prediction.entry
    else refused.push({ key, reason: prediction.reason })
  }
  return { table: { ...table, entries: { ...table.entries, ...predicted } }, predicted, refused }
}

type HeldOut = Accuracy & {
  readonly entries: readonly { readonly key: string; readonly measuredMs: number; readonly predictedMs: number }[]
  /** Held out, but of a type that F cannot predict. */
  readonly refused: readonly Refused[]
}

/**
 * Holds out every n-th measured entry, in the table's order, and predicts it from the others. With none to predict the
 * figures are NaN.
 */
function holdOut(table: LatencyTable, every: number): HeldOut {
  const measured = Object.entries(table.entries).filter(([, { predicted }]) => predicted === undefined)
  const isHeldOut = (index: number) => index % every === every - 1
  const predictor = fitPredictor({ entries: Object.fromEntries(measured.filter((_, index) => !isHeldOut(index))) })
  const entries: { key: string; measuredMs: number; predictedMs: number }[] = []
  const refused: Refused[] = []
  for (const [key, { meanMs }] of measured.filter((_, index) => isHeldOut(index))) {
    const prediction = predictor.predict(key)
    if (prediction.kind === 'predicted') entries.push({ key, measuredMs: meanMs, predictedMs: prediction.entry.meanMs })
    else refused.push({ key, reason: prediction.reason })
  }
  return { ...accuracyOf(entries), entries, refused }
}

export { fillMissing, type Filled, type HeldOut, holdOut, type Refused }
