// Fronts of accuracy against costs, and selection by NSGA-II, against definitions that look at every pair.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TaskResult } from '../../protocol/index.ts'
import { architectureCosts, createRandom, randomPath, seedState } from '../../search-space/index.ts'
import { compareStandings, crowdingDistances, nonDominatedFronts, standings, survivors } from '../../strategies/nsga-2.ts'
import { describeFronts, type Fronts, withCandidates } from '../../strategies/pareto-fronts.ts'
import { findStrategy } from '../../strategies/index.ts'
import { makeContext, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

/** Few values, so that there are many equals. */
const points = fc.array(fc.tuple(fc.nat({ max: 8 }), fc.nat({ max: 8 }), fc.nat({ max: 3 })), { minLength: 1, maxLength: 40 })
const beats = (a: readonly number[], b: readonly number[]) =>
  a.every((value, i) => value <= (b[i] as number)) && a.some((value, i) => value !== b[i])

describe('NSGA-II', () => {
  it('ranks by fronts: each is what nothing that is left dominates', () => {
    fc.assert(
      fc.property(points, (all) => {
        let left = all.map((_, index) => index)
        for (const front of nonDominatedFronts(all)) {
          const wanted = left.filter((index) => !left.some((other) => beats(all[other] as number[], all[index] as number[])))
          expect(front).toEqual(wanted)
          left = left.filter((index) => !front.includes(index))
        }
        expect(left).toEqual([])
      }),
    )
  })

  it('measures crowding as the paper does', () => {
    // By hand: of (2, 5), neighbours 0 and 6 of a range of 10 and 9 and 2 of a range of 8.
    const front = [
      [0, 9],
      [2, 5],
      [6, 2],
      [10, 1],
    ]
    const [first, second, third, last] = crowdingDistances(front)
    expect([first, last]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY])
    expect(second).toBeCloseTo(6 / 10 + 7 / 8, 12)
    expect(third).toBeCloseTo(8 / 10 + 4 / 8, 12)
    expect(crowdingDistances([[1, 1]])).toEqual([Number.POSITIVE_INFINITY])
  })

  it('lets the first fronts live, and of the last one those with room around them', () => {
    fc.assert(
      fc.property(points, fc.nat({ max: 40 }), (all, count) => {
        const alive = survivors(all, count)
        expect(alive).toHaveLength(Math.min(count, all.length))
        const found = standings(all)
        const dead = all.map((_, index) => index).filter((index) => !alive.includes(index))
        for (const one of alive)
          for (const other of dead) {
            const [a, b] = [found[one], found[other]]
            if (a && b) expect(compareStandings(a, b)).toBeLessThanOrEqual(0)
          }
      }),
    )
  })

  it('of an evolution keeps what no other beats in accuracy and cost', () => {
    const options = { space: 'fashion-mini', targetMs: 1e6, steps: 1 } as const
    const strategy = {
      name: 'aging-evolution',
      trials: 200,
      population: 30,
      sample: 2,
      selection: 'nsga-2',
      costs: ['macs'],
    } satisfies SearchOptions['strategy']
    const context = makeContext({ ...options, strategy })
    const evolution = findStrategy('aging-evolution')
    const random = createRandom(seedState('front'))
    const worth = context.space.decisions.map(({ options: all }) => all.map(() => random.uniform()))
    const accuracyOf = (path: readonly number[]) => path.reduce((sum, option, d) => sum + (worth[d]?.[option] as number), 0) / 4
    const macsOf = (path: readonly number[]) => architectureCosts(context.space, path).macs
    let state = evolution.init(context)
    const trained: number[][] = []
    for (;;) {
      const proposal = evolution.propose(state, context)
      if (proposal.kind !== 'work' || proposal.work.kind !== 'trainArchitecture') break
      const { path } = proposal.work
      trained.push(path)
      const validation = { crossEntropy: 1, correct: Math.round(accuracyOf(path) * 1e6), images: 1e6 }
      const result: TaskResult = { kind: 'trainArchitecture', end: 'finished', steps: 1, seconds: 1, validation, curve: [] }
      state = evolution.absorb(proposal.state, proposal, resultOutcome(result), context).state
    }
    const objectives = trained.map((path) => [-Math.round(accuracyOf(path) * 1e6), macsOf(path)])
    const front = trained.filter((_, i) => !objectives.some((other) => beats(other, objectives[i] as number[])))
    const { population } = state as { population: { path: number[] }[] }
    expect(front.length).toBeGreaterThan(3)
    expect(front.length).toBeLessThanOrEqual(30)
    const alive = new Set(population.map(({ path }) => path.join()))
    expect(front.filter((path) => !alive.has(path.join()))).toEqual([])
  })
})

describe('the front of a cost', () => {
  const context = makeContext({ space: 'fashion-mini' })
  const candidates = fc.integer().chain((seed) =>
    fc.integer({ min: 1, max: 80 }).map((count) => {
      const random = createRandom(seedState('candidates', seed))
      return Array.from({ length: count }, () => ({ path: randomPath(context.space, random), score: random.integer(20) / 20 }))
    }),
  )

  it('is what no other candidate beats, in whatever parts they come, and never more than twenty', () => {
    fc.assert(
      fc.property(candidates, fc.nat({ max: 80 }), (all, cut) => {
        const once = withCandidates([], all, context)
        const parts = withCandidates(withCandidates([], all.slice(0, cut), context), all.slice(cut), context)
        for (const [i, { cost, points: found }] of describeFronts(once, context).entries()) {
          expect(found.length).toBeLessThanOrEqual(20)
          const valued = all.map(({ path, score }) => ({ value: architectureCosts(context.space, path).macs, score }))
          if (cost === 'macs') {
            const wanted = valued.filter((one) => !valued.some((two) => beats([two.value, -two.score], [one.value, -one.score])))
            const unique = [...new Map(wanted.map((one) => [one.value, one])).values()].toSorted((a, b) => a.value - b.value)
            expect(found.map(({ value, score }) => ({ value, score }))).toEqual(unique)
          }
          const described = describeFronts(parts, context)[i]
          expect(described?.points.map(({ value, score }) => [value, score])).toEqual(found.map(({ value, score }) => [value, score]))
        }
      }),
      { numRuns: 50 },
    )
  })

  it('leaves out the nearest where there are more, and keeps both ends', () => {
    const byMacs = Array.from({ length: 400 }, (_, seed) => randomPath(context.space, createRandom(seedState('many', seed))))
      .map((path) => ({ path, macs: architectureCosts(context.space, path).macs }))
      .toSorted((a, b) => a.macs - b.macs)
    const rising = [...new Map(byMacs.map((one) => [one.macs, one])).values()].map(({ path }, i, { length }) => ({
      path,
      score: (i + 1) / length,
    }))
    expect(rising.length).toBeGreaterThan(100)
    const fronts: Fronts = withCandidates([], rising, context)
    const found = fronts.find(({ cost }) => cost === 'macs')?.points ?? []
    expect(found).toHaveLength(20)
    expect([found[0], found.at(-1)]).toEqual([rising[0], rising.at(-1)])
    const gaps = found.slice(1).map(({ score }, i) => score - (found[i]?.score as number))
    expect(Math.max(...gaps)).toBeLessThan(0.25)
  })
})
