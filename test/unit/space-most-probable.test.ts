import fc from 'fast-check'
import { expect, it } from 'vitest'
import { mostProbablePaths, mostProbableWithin } from '../../search-space/index.ts'

const probabilities = fc.array(
  fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 4 }).map((weights) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return total === 0 ? weights.map(() => 1 / weights.length) : weights.map((weight) => weight / total)
  }),
  { minLength: 1, maxLength: 5 },
)

/** Every path with its probability, by counting through all of them. */
function allPaths(blocks: readonly (readonly number[])[]): { path: number[]; probability: number }[] {
  return blocks.reduce(
    (paths, block) =>
      paths.flatMap(({ path, probability }) => block.map((p, index) => ({ path: [...path, index], probability: probability * p }))),
    [{ path: [] as number[], probability: 1 }],
  )
}

it('the n most probable paths are those that a count through all paths finds', () => {
  fc.assert(
    fc.property(probabilities, fc.integer({ min: 1, max: 40 }), (blocks, count) => {
      const expected = allPaths(blocks)
        .filter(({ probability }) => probability > 0)
        .sort((a, b) => b.probability - a.probability)
        .slice(0, count)
      const found = mostProbablePaths(blocks, count)
      expect(found).toHaveLength(expected.length)
      for (const [index, { probability }] of found.entries())
        expect(probability).toBeCloseTo(expected[index]?.probability ?? Number.NaN, 12)
      expect(new Set(found.map(({ path }) => path.join())).size).toBe(found.length)
    }),
  )
})

it('the first is the most probable operation of every block', () => {
  expect(
    mostProbablePaths(
      [
        [0.2, 0.5, 0.3],
        [0.9, 0.1],
      ],
      2,
    ),
  ).toEqual([
    { path: [1, 0], probability: 0.45 },
    { path: [2, 0], probability: 0.3 * 0.9 },
  ])
})

const CELL = 1 / 4096

it('the most probable path within a range of costs is that of a count through all paths', () => {
  const costs = fc.double({ min: 0, max: 1, noNaN: true })
  const blocks = fc.array(fc.array(fc.record({ weight: fc.integer({ min: 0, max: 9 }), cost: costs }), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 5,
  })
  fc.assert(
    fc.property(blocks, fc.double({ min: 0.1, max: 4, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (made, most, share) => {
      const shares = made.map((block) => {
        const total = block.reduce((sum, { weight }) => sum + weight, 0)
        return block.map(({ weight }) => (total === 0 ? 1 / block.length : weight / total))
      })
      const prices = made.map((block) => block.map(({ cost }) => cost))
      const costOf = (path: readonly number[]) => path.reduce((sum, operation, block) => sum + (prices[block]?.[operation] ?? 0), 0)
      const least = share * most
      const found = mostProbableWithin(shares, prices, { least, most })
      if (found) {
        expect(costOf(found.path)).toBeGreaterThanOrEqual(least)
        expect(costOf(found.path)).toBeLessThanOrEqual(most)
      }
      // Those that no rounding of sums can push out of the range.
      const slack = made.length * CELL * most
      const sure = allPaths(shares).filter(
        ({ path, probability }) => probability > 0 && costOf(path) >= least + slack && costOf(path) <= most - slack,
      )
      const best = Math.max(0, ...sure.map(({ probability }) => probability))
      expect(found?.probability ?? 0).toBeGreaterThanOrEqual(best * (1 - 1e-9))
    }),
  )
})
