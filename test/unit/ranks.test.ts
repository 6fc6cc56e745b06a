import { describe, expect, it } from 'vitest'
import { logRanks, ranksOf, spearmanRho } from '../../latency-lut/table/ranks.ts'

describe('ranks', () => {
  it('are shared by equal values', () => {
    expect(ranksOf([30, 10, 20, 10])).toEqual([4, 1.5, 3, 1.5])
    expect(ranksOf([Number.NEGATIVE_INFINITY, 2, Number.NEGATIVE_INFINITY])).toEqual([1.5, 3, 1.5])
    expect(ranksOf([])).toEqual([])
  })
})

describe("Spearman's rho", () => {
  it('is that of scipy.stats.spearmanr', () => {
    // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]).statistic and one with ties on both sides.
    expect(spearmanRho([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])).toBeCloseTo(0.8207826816681233, 12)
    expect(spearmanRho([1, 1, 2, 3], [2, 1, 1, 4])).toBeCloseTo(0.5, 12)
    expect(spearmanRho([1, 2, 3], [4, 4, 4])).toBeNaN()
  })
})

describe('several scores put together by the logarithms of their ranks', () => {
  it('put first what is good by all of them', () => {
    const sums = logRanks([
      [1, 2, 3],
      [10, 30, 20],
    ])
    expect(sums[0]).toBeCloseTo(2 * Math.log(1 / 3), 12)
    expect(sums[1]).toBeCloseTo(Math.log(2 / 3), 12)
    expect(sums[2]).toBeCloseTo(Math.log(2 / 3), 12)
    // Best by one score and worst by the other: worse than second by both.
    const [mixed = 0, even = 0] = logRanks([
      [4, 3, 1, 2],
      [1, 3, 4, 2],
    ])
    expect(mixed).toBeLessThan(even)
  })

  it('put last what has no score, the same for all of these', () => {
    expect(logRanks([[5, null, -1e300, null]])).toEqual([0, Math.log(1.5 / 4), Math.log(3 / 4), Math.log(1.5 / 4)])
  })
})
