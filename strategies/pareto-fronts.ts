// Of the candidates that a search has evaluated, those that no other beats in accuracy and in one of the costs: a front for each cost.

import * as z from 'zod'
import { type BoundConfig, costNames, type Front, RECORDED_COST } from '../protocol/index.ts'
import { paretoFront, printArchitecture } from '../search-space/index.ts'
import { costOf } from './costs.ts'
import type { StrategyContext } from './strategy.ts'

/** Points of one front, at most: they are stored in a row with the rest of the state. */
const MAX_POINTS = 20

const pointSchema = z.strictObject({ path: z.array(z.int().min(0)), score: z.number() })
type Scored = { readonly path: readonly number[]; readonly score: number }

/** Of each cost, by rising cost. */
const frontsSchema = z.array(z.strictObject({ cost: z.string(), points: z.array(pointSchema) }))
type Fronts = z.infer<typeof frontsSchema>

/** Weight bytes are in proportion to parameters. */
const alwaysShown = costNames.filter((name) => name !== 'weightBytes')

/** Costs that a search has fronts of: those that every search knows, and recorded ones that it has bounds on. */
function frontCosts({ config }: Pick<StrategyContext, 'config'>): readonly BoundConfig['cost'][] {
  return [...alwaysShown, ...(config.bounds ?? []).map(({ cost }) => cost).filter((cost) => cost.startsWith(RECORDED_COST))]
}

/** Leaves out points one by one, each time the one whose neighbours are nearest to each other; never the first or the last. */
function thinned<P extends { readonly x: number; readonly y: number }>(front: readonly P[], most: number): P[] {
  const points = [...front]
  while (points.length > most) {
    const first = points[0] as P
    const last = points.at(-1) as P
    const gapAt = (i: number) => {
      const [before, after] = [points[i - 1] as P, points[i + 1] as P]
      return (after.x - before.x) / (last.x - first.x) + (after.y - before.y) / (last.y - first.y)
    }
    let least = 1
    for (let i = 2; i < points.length - 1; i++) if (gapAt(i) < gapAt(least)) least = i
    points.splice(least, 1)
  }
  return points
}

/** The fronts with further candidates. Those whose cost is not known are on none. */
function withCandidates(fronts: Fronts, candidates: readonly Scored[], context: StrategyContext): Fronts {
  return frontCosts(context).map((cost) => {
    const { of } = costOf(context, cost)
    const known = fronts.find((front) => front.cost === cost)?.points ?? []
    const points = [...known, ...candidates].map(({ path, score }) => ({ path: [...path], score, x: of(path), y: score }))
    const front = thinned(paretoFront(points, { x: 'low', y: 'high' }), MAX_POINTS)
    return { cost, points: front.map(({ path, score }) => ({ path, score })) }
  })
}

/** As people see them. */
function describeFronts(fronts: Fronts, context: StrategyContext): Front[] {
  return fronts.map(({ cost, points }) => {
    const { of } = costOf(context, cost)
    return {
      cost,
      points: points.map(({ path, score }) => ({
        encoding: printArchitecture(context.space, path),
        path: [...path],
        value: of(path),
        score,
      })),
    }
  })
}

export { describeFronts, type Fronts, frontsSchema, withCandidates }
