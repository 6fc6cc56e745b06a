import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { roundShare } from '../../protocol/index.ts'
import { contestedBy, hasTrained, mergeContested, mergeVelocities, mergeWeights } from '../../engine/training/merge-lanes.ts'

const of = (uses: number, ...values: number[]) => ({ uses, values: Float32Array.from(values) })

describe('what lanes have learnt about a weight', () => {
  test('is their mean at γ = 1, their sum at γ = 0, and √k times the mean between', () => {
    const merged = (exponent: number) => {
      const start = Float32Array.of(1, -2)
      mergeWeights(start, [of(2, 2, -2), of(2, 4, -4)], exponent)
      return [...start]
    }
    expect(merged(1)).toEqual([3, -3])
    expect(merged(0)).toEqual([5, -4])
    expect(merged(0.5)).toEqual([...Float32Array.of(1 + Math.SQRT2 * 2, -2 - Math.SQRT2)])
  })

  test('counts by the steps that each took with it', () => {
    const start = Float32Array.of(0)
    mergeWeights(start, [of(3, 4), of(1, 8)], 1)
    expect(start[0]).toBe(5)
  })

  test('moves, with equal steps, by the share of the differences’ sum that rounds of agents use', () => {
    const value = fc.float({ min: -10, max: 10, noNaN: true })
    fc.assert(
      fc.property(value, fc.array(value, { minLength: 2, maxLength: 8 }), fc.constantFrom(0, 0.5, 0.75, 1), (from, ends, exponent) => {
        const start = Float32Array.of(from)
        mergeWeights(
          start,
          ends.map((end) => of(2, end)),
          exponent,
        )
        const differences = ends.reduce((sum, end) => sum + (end - from), 0)
        expect(start[0]).toBeCloseTo(from + roundShare(ends.length, exponent) * differences, 3)
      }),
    )
  })

  test('is the same whichever slices it is merged in', () => {
    const numbers = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 6, maxLength: 6 })
    fc.assert(
      fc.property(fc.tuple(numbers, numbers, numbers, numbers), fc.integer({ min: 0, max: 6 }), ([start, ...ends], cut) => {
        const learnt = ends.map((values, i) => of(i + 1, ...values))
        const whole = Float32Array.from(start)
        mergeWeights(whole, learnt, 0.5)
        const sliced = Float32Array.from(start)
        for (const [from, to] of [
          [0, cut],
          [cut, 6],
        ] as const) {
          mergeWeights(
            sliced.subarray(from, to),
            learnt.map(({ values, uses }) => ({ values: values.subarray(from, to), uses })),
            0.5,
          )
        }
        expect(sliced).toEqual(whole)
      }),
    )
  })

  test('has the mean of their velocities', () => {
    const target = new Float32Array(2)
    mergeVelocities(target, [of(2, 1, 4), of(1, 4, -2)])
    expect([...target]).toEqual([2, 2])
  })
})

const RULE = { shapeOf: () => [3, 4], exponentOf: () => 0.5 }

test('only what several lanes have trained is contested, with how often each has', () => {
  const whole = (uses: number) => [{ part: [3, 4], uses }]
  const contested = contestedBy(
    [
      new Map([
        ['stem', whole(2)],
        ['a', whole(1)],
      ]),
      new Map([['stem', whole(1)]]),
      new Map([
        ['a', whole(2)],
        ['b', whole(2)],
      ]),
    ],
    RULE,
  )
  const box = { begin: [0, 0], size: [3, 4] }
  const of = (...learners: [lane: number, uses: number][]) => [{ ...box, learners: learners.map(([lane, uses]) => ({ lane, uses })) }]
  expect(contested.map(({ key, boxes }) => [key, boxes])).toEqual([
    ['stem', of([0, 2], [1, 1])],
    ['a', of([0, 1], [2, 2])],
  ])
  expect(contested.map((weight) => [0, 1, 2].filter((lane) => hasTrained(weight, lane)))).toEqual([
    [0, 1],
    [0, 2],
  ])
})

test('of a weight that is trained by parts, each element is merged by those that have trained it', () => {
  const use = fc.record({
    part: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 })),
    uses: fc.integer({ min: 1, max: 3 }),
  })
  const lanes = fc.array(fc.array(use, { minLength: 1, maxLength: 3 }), { minLength: 2, maxLength: 4 })
  const isIn = ([rows, columns]: readonly [number, number], index: number) => Math.floor(index / 4) < rows && index % 4 < columns
  fc.assert(
    fc.property(lanes, fc.integer({ min: 0, max: 12 }), (uses, cut) => {
      const [contested] = contestedBy(
        uses.map((own) => new Map([['w', own]])),
        RULE,
      )
      if (!contested) throw new Error('two lanes use it')
      const start = Float32Array.from({ length: 12 }, (_, i) => i / 8)
      // A lane leaves alone what it does not train.
      const ends = uses.map((own, lane) =>
        start.map((value, i) => (own.some(({ part }) => isIn(part, i)) ? value + (lane + 1) / 4 : value)),
      )
      const merged = { weight: start.slice(), velocity: start.slice() }
      const laneOf = (lane: number) => ({ weight: ends[lane] as Float32Array, velocity: ends[lane] as Float32Array })
      mergeContested(contested, merged, laneOf, 0, cut)
      mergeContested(contested, merged, laneOf, cut, 12)
      for (const [i, from] of start.entries()) {
        const counts = uses.map((own) => own.reduce((sum, { part, uses: times }) => sum + (isIn(part, i) ? times : 0), 0))
        const total = counts.reduce((sum, count) => sum + count, 0)
        const learners = counts.filter((count) => count > 0).length
        const mean = counts.reduce((sum, count, lane) => sum + (total > 0 ? count / total : 0) * ((ends[lane]?.[i] as number) - from), 0)
        expect(merged.weight[i]).toBeCloseTo(from + learners ** 0.5 * mean, 5)
        expect(merged.velocity[i]).toBeCloseTo(from + mean, 5)
      }
    }),
  )
})
