import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { roundShare } from '../../protocol/index.ts'
import { learnersByKey, mergeVelocities, mergeWeights } from '../../engine/training/merge-lanes.ts'

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

test('the learners of a weight are the lanes that used it, in their order', () => {
  const learners = learnersByKey([
    new Map([
      ['stem', 2],
      ['a', 1],
    ]),
    new Map([['stem', 1]]),
    new Map([
      ['a', 2],
      ['b', 2],
    ]),
  ])
  expect([...learners]).toEqual([
    [
      'stem',
      [
        { lane: 0, uses: 2 },
        { lane: 1, uses: 1 },
      ],
    ],
    [
      'a',
      [
        { lane: 0, uses: 1 },
        { lane: 2, uses: 2 },
      ],
    ],
    ['b', [{ lane: 2, uses: 2 }]],
  ])
})
