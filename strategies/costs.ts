// What architectures cost, by the names that bounds have for it.

import { latencyCosts, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import { type BoundConfig, costNames, invalidField, type KnownCost, RECORDED_COST } from '../protocol/index.ts'
import { costRange, costsOfParts, type DecisionCosts, pathCost, type Space } from '../search-space/index.ts'

const FLOAT_BYTES = 4

/** Costs that somebody has measured of whole architectures: no sums over decisions. */
type RecordedCosts = {
  readonly columns: readonly string[]
  /** Null where it was not measured. */
  read(column: string, path: readonly number[]): number | null
  /** The least of all. */
  least(column: string): number
}

type Cost = {
  /** Infinite for an architecture of which it is not known. */
  of(path: readonly number[]): number
  /** No architecture has less. */
  readonly least: number
  /** Its closed form, or null where it has none. */
  readonly terms: DecisionCosts | null
}

type CostContext = {
  readonly space: Space
  readonly latency: SpaceLatency
  readonly recordedCosts?: RecordedCosts | undefined
}

/** Sums over all parts of a space, made once for each. */
const termsOfSpaces = new WeakMap<Space, Record<Exclude<KnownCost, 'latencyMs'>, DecisionCosts>>()

function termsOf(space: Space) {
  const known = termsOfSpaces.get(space)
  if (known) return known
  const terms = {
    macs: costsOfParts(space, ({ macs }) => macs),
    parameters: costsOfParts(space, ({ parameters }) => parameters),
    weightBytes: costsOfParts(space, ({ parameters }) => FLOAT_BYTES * parameters),
  }
  termsOfSpaces.set(space, terms)
  return terms
}

function isKnown(name: string): name is KnownCost {
  return costNames.some((known) => known === name)
}

/** Throws ProblemError `invalid-request` for a column that nobody has recorded; `field` is where it was asked for. */
function costOf({ space, latency, recordedCosts }: CostContext, name: BoundConfig['cost'], field = 'cost'): Cost {
  if (isKnown(name)) {
    const terms = name === 'latencyMs' ? latencyCosts(latency) : termsOf(space)[name]
    return { of: (path) => pathCost(terms, path), least: costRange(terms).least, terms }
  }
  const column = name.slice(RECORDED_COST.length)
  if (!recordedCosts) throw invalidField(field, `${name} is known where recorded trainings are simulated, not of networks that are trained`)
  if (!recordedCosts.columns.includes(column)) {
    throw invalidField(field, `expected one of ${recordedCosts.columns.join(', ')}, got ${column}`)
  }
  return {
    of: (path) => recordedCosts.read(column, path) ?? Number.POSITIVE_INFINITY,
    least: recordedCosts.least(column),
    terms: null,
  }
}

export { type Cost, costOf, type RecordedCosts }
