import fc from 'fast-check'
import { expect, it } from 'vitest'
import { mostProbablePaths } from '../../search-space/index.ts'

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
