import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { batchIndices, splitShares } from '../../engine/datasets/index.ts'

const FRACTIONS = { weights: 0.7, architecture: 0.2, validation: 0.1 }
const seeds = fc.oneof(fc.integer(), fc.string())

describe('shares', () => {
  it('hold every image exactly once, in sizes within one of their fractions', () => {
    const cuts = fc.tuple(fc.nat(100), fc.nat(100)).map(([a, b]) => {
      const [low, high] = a < b ? [a, b] : [b, a]
      return { weights: low / 100, architecture: (high - low) / 100, validation: (100 - high) / 100 }
    })
    fc.assert(
      fc.property(fc.nat(500), seeds, cuts, (count, seed, fractions) => {
        const shares = splitShares(count, seed, fractions)
        const all = [...shares.weights, ...shares.architecture, ...shares.validation].sort((a, b) => a - b)
        expect(all).toEqual(Array.from({ length: count }, (_, index) => index))
        for (const name of ['weights', 'architecture', 'validation'] as const) {
          expect(Math.abs(shares[name].length - count * fractions[name])).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  it('are the same on every machine for a seed, and others for another seed', () => {
    expect(splitShares(1000, 7, FRACTIONS)).toEqual(splitShares(1000, 7, FRACTIONS))
    expect(splitShares(1000, 7, FRACTIONS)).not.toEqual(splitShares(1000, 8, FRACTIONS))
    expect([...splitShares(10, 7, FRACTIONS).weights]).toEqual([4, 8, 5, 6, 2, 0, 7])
  })

  it('cut 60,000 images into 42,000, 12,000 and 6,000', () => {
    const { weights, architecture, validation } = splitShares(60000, 1, FRACTIONS)
    expect([weights.length, architecture.length, validation.length]).toEqual([42000, 12000, 6000])
  })

  it('are refused unless the fractions are not negative and sum to one', () => {
    for (const weights of [0.6, 0.8, Number.NaN]) {
      expect(() => splitShares(10, 1, { ...FRACTIONS, weights })).toThrow(expect.objectContaining({ code: 'bad-fractions' }))
    }
    expect(() => splitShares(10, 1, { weights: 1.5, architecture: -0.5, validation: 0 })).toThrow(/1.5 \+ -0.5 \+ 0/)
  })
})

describe('batches', () => {
  const cases = fc
    .record({
      length: fc.integer({ min: 1, max: 200 }),
      batchSize: fc.integer({ min: 1, max: 200 }),
      seed: seeds,
      epoch: fc.nat(50),
    })
    .filter(({ length, batchSize }) => batchSize <= length)
  const shareOf = (length: number) => Uint32Array.from({ length }, (_, index) => 1000 + 3 * index)

  it('of one epoch are full, from the share, and share no image', () => {
    fc.assert(
      fc.property(cases, ({ length, batchSize, seed, epoch }) => {
        const share = shareOf(length)
        const batches = Math.floor(length / batchSize)
        const seen = Array.from({ length: batches }, (_, batch) => [
          ...batchIndices(share, batchSize, epoch * batches + batch, seed),
        ]).flat()
        expect(seen).toHaveLength(batches * batchSize)
        expect(new Set(seen).size).toBe(seen.length)
        expect(seen.every((index) => share.includes(index))).toBe(true)
      }),
    )
  })

  it('of a step are the same on every machine, whatever was asked for before', () => {
    fc.assert(
      fc.property(cases, fc.array(fc.nat(3000)), ({ length, batchSize, seed, epoch }, earlier) => {
        const share = shareOf(length)
        for (const step of earlier) batchIndices(share, batchSize, step, seed)
        expect(batchIndices(share, batchSize, epoch, seed)).toEqual(batchIndices(shareOf(length), batchSize, epoch, seed))
      }),
    )
    expect([...batchIndices(shareOf(10), 4, 5, 'seed')]).toEqual([1021, 1015, 1009, 1003])
  })

  it('of another epoch come in another order and leave out other images', () => {
    const share = shareOf(100)
    const leftOut = (epoch: number) => {
      const used = new Set([0, 1, 2].flatMap((batch) => [...batchIndices(share, 32, epoch * 3 + batch, 1)]))
      return [...share].filter((index) => !used.has(index)).join()
    }
    expect(new Set([0, 1, 2, 3, 4, 5].map(leftOut)).size).toBe(6)
  })

  it('may be changed by their owner', () => {
    const share = shareOf(10)
    const before = [...batchIndices(share, 4, 0, 1)]
    batchIndices(share, 4, 0, 1).fill(0)
    expect([...batchIndices(share, 4, 0, 1)]).toEqual(before)
  })

  it('larger than their share are refused with both sizes', () => {
    expect(() => batchIndices(shareOf(63), 64, 0, 1)).toThrow(
      expect.objectContaining({ code: 'share-too-small', message: expect.stringMatching(/64 images, got 63/) }),
    )
  })

  it('of no size, or at no whole step, are refused', () => {
    for (const [batchSize, step] of [
      [0, 0],
      [1.5, 0],
      [4, -1],
      [4, 0.5],
      [4, Number.NaN],
    ] as const) {
      expect(() => batchIndices(shareOf(10), batchSize, step, 1)).toThrow(expect.objectContaining({ code: 'bad-batch' }))
    }
  })
})
