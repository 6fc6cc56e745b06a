import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom, seedState } from '../../search-space/index.ts'
import { countOwners, divide, drawPath, type Part } from '../../strategies/parts.ts'

const blockOf = (weights: readonly number[]) => ({ operations: weights.map((_, operation) => operation), weights })
const normalise = (weights: readonly number[]) => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}
const distributions = fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 1, maxLength: 9 }).map(normalise)
const seeds = fc.integer({ min: 0, max: 1_000_000 })

/** How often each operation is drawn over many rounds, per draw. */
function frequencies(p: readonly number[], shares: readonly number[], rounds: number, draws = 4): number[] {
  const random = createRandom(seedState('parts', JSON.stringify([p, shares])))
  const total = shares.reduce((sum, share) => sum + share, 0)
  const counts = p.map(() => 0)
  for (let round = 0; round < rounds; round++) {
    for (const [learner, part] of divide([blockOf(p)], shares, random).entries()) {
      // A learner with a larger share of the steps draws more often.
      for (let i = 0; i < draws; i++) {
        const operation = drawPath(part, false, random)[0] as number
        counts[operation] = (counts[operation] as number) + (shares[learner] as number) / total / draws
      }
    }
  }
  return counts.map((count) => count / rounds)
}

describe('parts of learners', () => {
  it('have at least one operation of every block, and only operations of the block', () => {
    fc.assert(
      fc.property(distributions, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 20 }), seeds, (p, shares, seed) => {
        const parts = divide([blockOf(p), blockOf(p)], shares, createRandom(seedState('parts', seed)))
        expect(parts).toHaveLength(shares.length)
        for (const part of parts) {
          expect(part).toHaveLength(2)
          for (const { operations, weights } of part) {
            expect(operations.length).toBeGreaterThan(0)
            expect(weights).toHaveLength(operations.length)
            expect(weights.every((weight) => weight > 0)).toBe(true)
            expect(new Set(operations).size).toBe(operations.length)
            expect(operations.every((operation) => operation < p.length)).toBe(true)
          }
        }
      }),
    )
  })

  it('have no operation in common where all are equally likely and there are at least as many as learners', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), seeds, (operations, learners, seed) => {
        fc.pre(learners < operations)
        const block = blockOf(Array.from({ length: operations }, () => 1 / operations))
        const parts = divide(
          [block],
          Array.from({ length: learners }, () => 1),
          createRandom(seedState('parts', seed)),
        )
        const owners = countOwners(parts)[0] as Map<number, number>
        expect([...owners.values()].every((count) => count === 1)).toBe(true)
        // And nothing is left out.
        expect(owners.size).toBe(operations)
      }),
    )
  })

  it('spread what must be shared evenly: n · p learners train an operation, rounded up or down', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 32 }), seeds, (operations, learners, seed) => {
        fc.pre(learners >= operations)
        const block = blockOf(Array.from({ length: operations }, () => 1 / operations))
        const parts = divide(
          [block],
          Array.from({ length: learners }, () => 1),
          createRandom(seedState('parts', seed)),
        )
        const owners = countOwners(parts)[0] as Map<number, number>
        for (let operation = 0; operation < operations; operation++) {
          const count = owners.get(operation) ?? 0
          expect(count).toBeGreaterThanOrEqual(Math.floor(learners / operations))
          expect(count).toBeLessThanOrEqual(Math.ceil(learners / operations))
        }
      }),
    )
  })

  it.each([
    { name: 'equal', p: [1, 1, 1, 1, 1, 1, 1], shares: [1, 1] },
    { name: 'equal, four learners', p: [1, 1, 1, 1, 1, 1], shares: [1, 1, 1, 1] },
    { name: 'equal, more learners than operations', p: [1, 1, 1], shares: [1, 1, 1, 1, 1, 1, 1, 1] },
    { name: 'sharp', p: [0.9, 0.04, 0.03, 0.03], shares: [1, 1, 1, 1] },
    { name: 'uneven', p: [0.4, 0.3, 0.2, 0.1], shares: [1, 1] },
    { name: 'uneven, a slow learner', p: [0.4, 0.25, 0.2, 0.1, 0.05], shares: [3, 1] },
    { name: 'uneven, eight', p: [0.35, 0.3, 0.2, 0.1, 0.05], shares: [1, 1, 1, 1, 1, 1, 1, 1] },
  ])('are drawn by their probabilities over many rounds: $name', ({ p, shares }) => {
    const expected = normalise(p)
    const drawn = frequencies(expected, shares, 20_000)
    for (const [operation, share] of drawn.entries()) expect(Math.abs(share - (expected[operation] as number))).toBeLessThan(0.04)
  })

  it('of one learner are everything', () => {
    const blocks: Part = [blockOf([0.2, 0.8]), blockOf([1])]
    expect(divide(blocks, [3], createRandom(seedState('parts')))).toEqual([blocks])
  })
})
