// Paths for weight steps that cost nearly as much as a search may spend: within the bounds, and at least so much of one of them. What a search
// answers is almost always there, and weights that were trained there at last tell these networks apart best (docs/proof.md). Guo et al.
// (2020), too, draw paths within an interval of costs where there is a constraint (their code's `get_uniform_sample_cand`).

import { costRange, type Random } from '../search-space/index.ts'
import { allBounds } from './bounds.ts'
import { drawPath, type Part } from './parts.ts'
import type { DrawPath } from './seat-steps.ts'
import type { StrategyContext } from './strategy.ts'

/** Paths that are drawn before the nearest of them is changed. */
const DRAWS = 20
/** Changes for each decision before the path is given up. */
const CHANGES = 30

/** How much of its bound a path costs, of the one that it costs most of; a bound that no path reaches stands for the largest cost. */
type Fullness = (path: readonly number[]) => number

function fullnessOf(context: StrategyContext): Fullness {
  const scales = allBounds(context).map(({ of, atMost }) => ({
    of,
    scale: of.terms ? Math.min(atMost, costRange(of.terms).most) : atMost,
  }))
  return (path) => Math.max(...scales.map(({ of, scale }) => of.of(path) / scale))
}

/** With one decision drawn anew, or two: what is better is often an exchange. */
function withRedrawn(path: readonly number[], part: Part, uniform: boolean, random: Random): number[] {
  const redrawn = [...path]
  for (let left = 1 + random.integer(2); left > 0; left--) {
    const decision = random.integer(part.length)
    redrawn[decision] = drawPath(part.slice(decision, decision + 1), uniform, random)[0] as number
  }
  return redrawn
}

/**
 * Draws a path through a part that costs between `least` and 1 of a bound: of several draws the first that does, or the nearest of them,
 * with decisions drawn anew as long as that brings it no further away. Where that leads to none, as in a part that has large operations alone,
 * the first draw.
 */
function drawNear(context: StrategyContext, least: number): DrawPath {
  const fullness = fullnessOf(context)
  const distanceOf = (path: readonly number[]) => {
    const full = fullness(path)
    return Math.max(0, least - full, full - 1)
  }
  const measured = (path: readonly number[]) => ({ path, distance: distanceOf(path) })
  return (part: Part, uniform: boolean, random: Random) => {
    const first = drawPath(part, uniform, random)
    let nearest = measured(first)
    const tryOther = (path: readonly number[]) => {
      const other = measured(path)
      return other.distance <= nearest.distance ? other : nearest
    }
    for (let i = 1; i < DRAWS && nearest.distance > 0; i++) nearest = tryOther(drawPath(part, uniform, random))
    for (let i = 0; i < CHANGES * part.length && nearest.distance > 0; i++) {
      nearest = tryOther(withRedrawn(nearest.path, part, uniform, random))
    }
    return nearest.distance === 0 ? [...nearest.path] : first
  }
}

export { drawNear }
