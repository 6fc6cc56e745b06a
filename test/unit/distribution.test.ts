import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { argmax, entropy, logSumExp, softmax } from '../../strategies/distribution.ts'

const alphas = fc.array(fc.double({ min: -80, max: 80, noNaN: true }), { minLength: 1, maxLength: 9 })

describe('probabilities of a block', () => {
  it('sum to one, keep the order of alpha, and have the ratios e^(difference)', () => {
    fc.assert(
      fc.property(alphas, (alpha) => {
        const p = softmax(alpha)
        expect(p.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12)
        for (const [i, value] of alpha.entries()) expect(Math.log(p[i] as number)).toBeCloseTo(value - logSumExp(alpha), 9)
        expect(p[argmax(alpha)]).toBe(Math.max(...p))
      }),
    )
  })

  it('do not change when all of alpha is shifted', () => {
    fc.assert(
      fc.property(alphas, fc.double({ min: -50, max: 50, noNaN: true }), (alpha, shift) => {
        const shifted = softmax(alpha.map((value) => value + shift))
        for (const [i, p] of softmax(alpha).entries()) expect(shifted[i]).toBeCloseTo(p, 9)
      }),
    )
  })

  it('stay numbers where e^alpha would overflow', () => {
    expect(softmax([1000, 1000, -1000])).toEqual([0.5, 0.5, 0])
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.log(2), 12)
  })
})

describe('entropy', () => {
  it('is ln n for n equal choices, and 0 when one is certain', () => {
    expect(entropy([0.25, 0.25, 0.25, 0.25])).toBeCloseTo(Math.log(4), 15)
    expect(entropy([0, 1, 0])).toBe(0)
    expect(entropy([0.5, 0.25, 0.25])).toBeCloseTo(1.5 * Math.log(2), 15)
  })

  it('lies between those for any alpha', () => {
    fc.assert(
      fc.property(alphas, (alpha) => {
        const value = entropy(softmax(alpha))
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThanOrEqual(Math.log(alpha.length) + 1e-12)
      }),
    )
  })
})

describe('argmax', () => {
  it('is the first of equals', () => {
    expect(argmax([1, 3, 3, 2])).toBe(1)
    expect(argmax([-5])).toBe(0)
  })
})
