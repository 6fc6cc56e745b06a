import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSpace, parseArchitecture, printArchitecture, SpaceError } from '../../search-space/index.ts'
import { spaceWithPath } from '../fixtures/arbitrary-spaces.ts'
import { makeSpaceRef } from '../fixtures/searches.ts'

describe('an architecture as text', () => {
  const space = createSpace(makeSpaceRef({ blocks: 3 }))

  it('reads as the space and one operation per block', () => {
    expect(printArchitecture(space, [0, 2, 1])).toBe('tiny:mb2k3,zero,mb3k3')
  })

  it('gives back the path that was printed, for any space and path', () => {
    fc.assert(
      fc.property(spaceWithPath, ({ space: random, path }) => {
        expect(parseArchitecture(random, printArchitecture(random, path))).toEqual(path)
      }),
    )
  })

  it('calls an identity the same whether it skips its block or projects', () => {
    const macro = createSpace('nas-bench-macro')
    expect(printArchitecture(macro, [0, 0, 1, 2, 0, 2, 1, 0])).toBe(
      'nas-bench-macro:identity,identity,mb3k3,mb6k5,identity,mb6k5,mb3k3,identity',
    )
  })

  it.each([
    ['tiny:mb2k3,mb9k9,zero', 'expected one of mb2k3, mb3k3, zero for stage1.2, got "mb9k9" (architecture[1])'],
    ['tiny:mb2k3,zero', 'expected 3 options, one per decision, got 2 (architecture)'],
    ['other:mb2k3,zero,zero', 'expected an architecture that starts with "tiny:", got "other:mb2k3,zero,zero" (architecture)'],
    ['', 'expected an architecture that starts with "tiny:", got "" (architecture)'],
  ])('is refused, the place named: %s', (text, message) => {
    expect(() => parseArchitecture(space, text)).toThrow(SpaceError)
    expect(() => parseArchitecture(space, text)).toThrow(message)
  })

  it.each([[[0, 1]], [[0, 1, 3]], [[0, 1, -1]], [[0, 1, 0.5]], [[0, 1, Number.NaN]]])(
    'is not printed for a path of another space: %j',
    (path) => {
      expect(() => printArchitecture(space, path)).toThrow(SpaceError)
    },
  )
})
