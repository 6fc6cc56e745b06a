import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseOptions, printOptions } from '../../protocol/index.ts'
import { createSpace, createWeightUse, presetNames, type Space, usedOptions, weightKeys } from '../../search-space/index.ts'
import { arbitrarySpace } from '../fixtures/arbitrary-spaces.ts'

const pathsOf = (space: Space, count: { minLength: number; maxLength: number }) =>
  fc.array(fc.tuple(...space.decisions.map(({ options }) => fc.nat({ max: options.length - 1 }))), count)

describe.each(presetNames.map((name) => [name, createSpace(name)] as const))('the weights that paths of %s may read', (name, space) => {
  const weightUse = createWeightUse(space)
  const numRuns = space.decisions.length > 10 ? 5 : 30

  it('are those of the path, where there is one', () => {
    fc.assert(
      fc.property(pathsOf(space, { minLength: 1, maxLength: 1 }), ([path = []]) => {
        const keys = weightUse(usedOptions(space.decisions.length, [path]))
        expect([...keys].toSorted(), name).toEqual([...new Set(weightKeys(space.network(path)))].toSorted())
      }),
      { numRuns },
    )
  })

  it('are all that any of several paths reads', () => {
    fc.assert(
      fc.property(pathsOf(space, { minLength: 1, maxLength: 4 }), (paths) => {
        const keys = weightUse(usedOptions(space.decisions.length, paths))
        for (const path of paths) for (const key of weightKeys(space.network(path))) expect(keys.has(key), key).toBe(true)
      }),
      { numRuns },
    )
  })
})

it('holds for spaces of any settings', () => {
  const cases = arbitrarySpace.chain((space) => pathsOf(space, { minLength: 1, maxLength: 3 }).map((paths) => ({ space, paths })))
  fc.assert(
    fc.property(cases, ({ space, paths }) => {
      const keys = createWeightUse(space)(usedOptions(space.decisions.length, paths))
      for (const path of paths) for (const key of weightKeys(space.network(path))) expect(keys.has(key), key).toBe(true)
      const one = paths.slice(0, 1)
      const ofOne = createWeightUse(space)(usedOptions(space.decisions.length, one))
      expect([...ofOne].toSorted()).toEqual([...new Set(one.flatMap((path) => weightKeys(space.network(path))))].toSorted())
    }),
    { numRuns: 50 },
  )
})

describe('options as digits', () => {
  it('come back as they were', () => {
    const cases = fc
      .array(fc.integer({ min: 1, max: 9 }), { maxLength: 12 })
      .chain((counts) =>
        fc
          .tuple(...counts.map((count) => fc.subarray(Array.from({ length: count }, (_, option) => option))))
          .map((used) => ({ counts, used })),
      )
    fc.assert(
      fc.property(cases, ({ counts, used }) => {
        expect(parseOptions(counts, printOptions(counts, used))).toEqual(used)
      }),
    )
  })

  it('are four to a digit, the first the highest', () => {
    expect(printOptions([2, 3], [[0], [1, 2]])).toBe('98')
    expect(parseOptions([2, 3], '98')).toEqual([[0], [1, 2]])
  })
})
