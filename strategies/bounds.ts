// Bounds on costs: of candidates they decide which may be looked at (evolution.ts), of distributions they are a penalty in the loss.
//
// The penalty of an expected cost E with bound B and weight λ is
//
//   λ · h(E / B),   h(r) = 0                         for r ≤ 1 − m
//                         (r − 1 + m)² / 2m          up to r = 1
//                         r − 1 + m/2                beyond
//
// the hinge max(0, r − 1) that begins a margin m = 0.1 earlier and smoothly: a pull that only ever changed its sign at the bound would shake
// alpha there, and one that began at the bound would come to rest beyond it.

import { type BoundConfig, invalidField } from '../protocol/index.ts'
import { type DecisionCosts, expectedCost, mostProbablePaths, mostProbableWithin } from '../search-space/index.ts'
import { type Cost, costOf } from './costs.ts'
import { type Group, mostProbable, pathOfCombinations } from './joint-distribution.ts'
import type { StrategyContext } from './strategy.ts'

/** Share of the bound. */
const MARGIN = 0.1
/** Most probable architectures among which one within all bounds is looked for. */
const MOST_LOOKED_AT = 1000

type Bound = BoundConfig & {
  readonly of: Cost
  /** Of the settings that say it. */
  readonly field: string
}

/** A bound on a cost that has a closed form, of a distribution. */
type Penalty = { readonly terms: DecisionCosts; readonly atMost: number; readonly weight: number }

type BoundContext = Pick<StrategyContext, 'space' | 'latency' | 'recordedCosts' | 'config'>

/** Those of the settings' `bounds`. Throws ProblemError `invalid-request`. */
function addedBounds(context: BoundContext): Bound[] {
  return (context.config.bounds ?? []).map((bound, i) => ({
    ...bound,
    of: costOf(context, bound.cost, `bounds[${i}].cost`),
    field: `bounds[${i}].atMost`,
  }))
}

/** The target latency. How strongly a distribution is pulled to it, each strategy has a setting of its own for. */
function targetBound(context: BoundContext, weight = 1): Bound {
  const cost = 'latencyMs'
  const field = 'latency.targetMs'
  return { cost, atMost: context.config.latency.targetMs, weight, of: costOf(context, cost, field), field }
}

/** The target latency, and those of the settings' `bounds`. */
function allBounds(context: BoundContext): Bound[] {
  return [targetBound(context), ...addedBounds(context)]
}

/** Throws ProblemError `invalid-request` where one of them leaves no architecture, or is on a cost that is not known. */
function checkBounds(bounds: readonly Bound[]): void {
  for (const { cost, atMost, of, field } of bounds) {
    if (of.least <= atMost) continue
    throw invalidField(field, `expected at least ${of.least}, below which no architecture has its ${cost}, got ${atMost}`)
  }
}

/** Whether an architecture keeps all of them. */
function keeps(bounds: readonly Bound[], path: readonly number[]): boolean {
  return bounds.every(({ of, atMost }) => of.of(path) <= atMost)
}

/** d/dE of λ · h(E / B). */
function penaltySlope({ atMost, weight }: Pick<Bound, 'atMost' | 'weight'>, expected: number): number {
  const slope = Math.max(0, Math.min(1, (expected / atMost - 1 + MARGIN) / MARGIN))
  return (weight * slope) / atMost
}

/** The most probable architecture that keeps one bound on a sum over the decisions; null where there is none, or the bound is no such. */
function mostProbableOfSum([only, ...others]: readonly Bound[], groups: readonly Group[]): number[] | null {
  const isFactorised = groups.every(({ decisions }) => decisions.length === 1)
  const terms = only && others.length === 0 && isFactorised ? only.of.terms : null
  if (!only || terms?.joint.length !== 0) return null
  const rows = groups.map(({ probabilities }) => probabilities)
  const found = mostProbableWithin(rows, terms.options, { least: 0, most: only.atMost - terms.fixed })?.path
  // Sums of the same costs in another order may differ in their last digit.
  return found && keeps([only], found) ? [...found] : null
}

/** The `count` most probable architectures that keep all bounds, most probable first; fewer where no more are found. */
function mostProbableWithinBounds(bounds: readonly Bound[], groups: readonly Group[], count: number): number[][] {
  const rows = groups.map(({ probabilities }) => probabilities)
  const probable = mostProbablePaths(rows, Math.max(count, MOST_LOOKED_AT)).map(({ path }) => pathOfCombinations(groups, path))
  const found = probable.filter((path) => keeps(bounds, path)).slice(0, count)
  if (found.length > 0) return found
  const only = mostProbableOfSum(bounds, groups)
  return only ? [only] : []
}

/** The most probable architecture that keeps all bounds, as far as one is found; else the most probable one. */
function mostProbableKeeping(bounds: readonly Bound[], groups: readonly Group[]): number[] {
  const first = mostProbable(groups)
  if (keeps(bounds, first)) return first
  return mostProbableOfSum(bounds, groups) ?? mostProbableWithinBounds(bounds, groups, 1)[0] ?? first
}

/** The further bounds as penalties. Throws ProblemError `invalid-request` for costs that have no expectation in closed form. */
function penaltiesOf(context: BoundContext): Penalty[] {
  return addedBounds(context).map(({ of: { terms }, atMost, weight, cost, field }) => {
    if (terms) return { terms, atMost, weight }
    throw invalidField(field, `${cost} has no expectation in closed form, which this strategy needs`)
  })
}

/** How a bound stands: what an architecture costs, and what a distribution is expected to, where that has a closed form. */
function boundStatus(context: BoundContext, path: readonly number[], probabilities: readonly (readonly number[])[] | null) {
  return allBounds(context).map(({ cost, atMost, of }) => {
    const value = of.of(path)
    const expected = probabilities && of.terms ? { expected: expectedCost(of.terms, probabilities) } : {}
    return { cost, atMost, value, ...expected, isMet: value <= atMost }
  })
}

export {
  addedBounds,
  allBounds,
  type Bound,
  type BoundContext,
  boundStatus,
  checkBounds,
  keeps,
  mostProbableKeeping,
  mostProbableWithinBounds,
  penaltiesOf,
  type Penalty,
  penaltySlope,
  targetBound,
}
