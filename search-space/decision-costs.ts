// Costs that are sums of terms over none, one or several decisions, so that what a distribution over architectures is expected to cost, with
// slopes, has a closed form. Decision b takes option j with probability p_bj, each by itself:
//
//   E = fixed + Σ_b Σ_j p_bj F_bj + Σ_(a,b) Σ_ij p_ai p_bj F_ab(i,j)

import { combinationAt, combinationIndex } from './combinations.ts'
import type { Part, Path, Space } from './space.ts'

/** What depends on several decisions at once. */
type JointCosts = {
  /** Indices, ascending, two or more. */
  readonly decisions: readonly number[]
  /** By the options of these decisions, those of the last one counting fastest. */
  readonly values: readonly number[]
}

/** In any unit. */
type DecisionCosts = {
  /** Of what every architecture has. */
  readonly fixed: number
  /** [decision][option] of what depends on one decision. */
  readonly options: readonly (readonly number[])[]
  readonly joint: readonly JointCosts[]
}

/** [decision][option] */
type Probabilities = readonly (readonly number[])[]

/** Every option of a decision as probable as the others. */
function evenProbabilities({ decisions }: Pick<Space, 'decisions'>): number[][] {
  return decisions.map(({ options }) => options.map(() => 1 / options.length))
}

/** Sums of what each part of a space's networks costs. */
function costsOfParts(space: Pick<Space, 'decisions' | 'terms'>, costOf: (part: Part) => number): DecisionCosts {
  let fixed = 0
  const options = space.decisions.map((decision) => decision.options.map(() => 0))
  const joint: JointCosts[] = []
  for (const { decisions, parts } of space.terms) {
    const values = parts.map((own) => own.reduce((sum, part) => sum + costOf(part), 0))
    const [decision] = decisions
    if (decision === undefined) fixed += values[0] ?? 0
    else if (decisions.length === 1) options[decision] = (options[decision] ?? []).map((sum, option) => sum + (values[option] as number))
    else joint.push({ decisions, values })
  }
  return { fixed, options, joint }
}

/** Of one architecture. */
function pathCost({ fixed, options, joint }: DecisionCosts, path: Path): number {
  const single = path.reduce((sum, option, decision) => sum + (options[decision]?.[option] ?? Number.NaN), fixed)
  return joint.reduce((sum, { decisions, values }) => {
    const counts = decisions.map((decision) => (options[decision] as readonly number[]).length)
    const chosen = decisions.map((decision) => path[decision] as number)
    return sum + (values[combinationIndex(counts, chosen)] ?? Number.NaN)
  }, single)
}

/**
 * Sums of a joint term over all combinations of its options, each weighted by the probabilities of all but one of them.
 * `visit` gets the position of that one in `decisions`, its option, and the weighted cost.
 */
function visitJoint(
  { decisions, values }: JointCosts,
  probabilities: Probabilities,
  visit: (position: number, option: number, weighted: number) => void,
): void {
  const rows = decisions.map((decision) => probabilities[decision] ?? [])
  const counts = rows.map(({ length }) => length)
  for (const [index, value] of values.entries()) {
    const options = combinationAt(counts, index)
    for (const [position, option] of options.entries()) {
      const weight = options.reduce((product, other, at) => (at === position ? product : product * (rows[at]?.[other] ?? Number.NaN)), 1)
      visit(position, option, weight * value)
    }
  }
}

/** E. */
function expectedCost({ fixed, options, joint }: DecisionCosts, probabilities: Probabilities): number {
  const single = probabilities.reduce(
    (sum, row, decision) => sum + row.reduce((part, p, option) => part + p * (options[decision]?.[option] ?? Number.NaN), 0),
    fixed,
  )
  let sum = single
  for (const term of joint) {
    const first = probabilities[term.decisions[0] as number] ?? []
    visitJoint(term, probabilities, (position, option, cost) => {
      if (position === 0) sum += (first[option] ?? Number.NaN) * cost
    })
  }
  return sum
}

/** dE/dp, [decision][option]. */
function expectedCostSlopes({ options, joint }: DecisionCosts, probabilities: Probabilities): readonly (readonly number[])[] {
  if (joint.length === 0) return options
  const slopes = options.map((row) => [...row])
  for (const term of joint) {
    visitJoint(term, probabilities, (position, option, cost) => {
      const row = slopes[term.decisions[position] as number] as number[]
      row[option] = (row[option] as number) + cost
    })
  }
  return slopes
}

/** What no architecture goes below, and none above. Exact where there is no joint term. */
function costRange({ fixed, options, joint }: DecisionCosts): { least: number; most: number } {
  const rows = [...options, ...joint.map(({ values }) => values)]
  return {
    least: rows.reduce((sum, row) => sum + Math.min(...row), fixed),
    most: rows.reduce((sum, row) => sum + Math.max(...row), fixed),
  }
}

export { costRange, costsOfParts, type DecisionCosts, evenProbabilities, expectedCost, expectedCostSlopes, pathCost }
