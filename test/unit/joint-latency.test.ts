// Latency of spaces in which an operation's cost depends on several decisions.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coverSpace, expectedLatencyMs, expectedLatencySlopes, latencyBounds, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { createSpace, type Part, type Space, architectureCosts, isAdditive, largestPath } from '../../search-space/index.ts'
import { softmax } from '../../strategies/distribution.ts'
import { makeSpaceRef, makeTable } from '../fixtures/searches.ts'

const SIZES = [2, 3, 4] as const
const table = makeTable(createSpace(makeSpaceRef({ blocks: 1 })))

const part = (name: string, macs: number): Part => ({ name, operation: 'toy', latencyKey: name, macs, parameters: macs })

/** Three decisions: a fixed part, one term of the second decision, and terms of the first with the second and with the third. */
function toySpace(macsOf: (name: string) => number): Space {
  const base = createSpace(makeSpaceRef({ blocks: 1 }))
  const combinations = (sizes: readonly number[]): number[][] =>
    sizes.reduce<number[][]>((all, size) => all.flatMap((one) => Array.from({ length: size }, (_, i) => [...one, i])), [[]])
  const term = (decisions: readonly number[]) => ({
    decisions,
    parts: combinations(decisions.map((decision) => SIZES[decision] as number)).map((options) => {
      const name = `${decisions.join('+')}:${options.join(',')}`
      return [part(name, macsOf(name))]
    }),
  })
  const decisions = SIZES.map((size, index) => ({
    name: `d${index}`,
    where: '',
    options: Array.from({ length: size }, (_, i) => ({ name: `o${i}`, isZero: false })),
  }))
  return { ...base, decisions, terms: [term([]), term([1]), term([0, 1]), term([0, 2])] }
}

const paths = Array.from({ length: 24 }, (_, i) => [Math.floor(i / 12), Math.floor(i / 4) % 3, i % 4])
const key = (path: readonly number[]) => (decisions: readonly number[]) =>
  `${decisions.join('+')}:${decisions.map((d) => path[d]).join(',')}`

function latencyOf(msOf: (name: string) => number) {
  const space = toySpace(() => 1)
  const names = space.terms.flatMap(({ parts }) => parts.flatMap((own) => own.map(({ latencyKey }) => latencyKey as string)))
  const entries = Object.fromEntries(names.map((name) => [name, { meanMs: msOf(name), stdMs: 0, count: 1 }]))
  const coverage = coverSpace(space, { ...table, fixedMs: 0.5, entries })
  if (coverage.kind !== 'covered') throw new Error(coverage.keys.join())
  return coverage.latency
}

const milliseconds = fc.array(fc.double({ min: 0.01, max: 9, noNaN: true }), { minLength: 24, maxLength: 24 })
const logits = fc.tuple(...SIZES.map((size) => fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: size, maxLength: size })))

/** 1 + 3 + 6 + 8 = 18 names, each with a number of its own. */
function numbered(values: readonly number[]): (name: string) => number {
  const known = new Map<string, number>()
  return (name) => {
    if (!known.has(name)) known.set(name, values[known.size] as number)
    return known.get(name) as number
  }
}

describe('latency over pairs of decisions', () => {
  it('is that of the parts that an architecture has', () => {
    fc.assert(
      fc.property(milliseconds, (values) => {
        const msOf = numbered(values)
        const latency = latencyOf(msOf)
        for (const path of paths) {
          const named = key(path)
          const expected = 0.5 + [[], [1], [0, 1], [0, 2]].reduce((sum, decisions) => sum + msOf(named(decisions)), 0)
          expect(pathLatencyMs(latency, path)).toBeCloseTo(expected, 9)
        }
        const all = paths.map((path) => pathLatencyMs(latency, path))
        const { leastMs, mostMs } = latencyBounds(latency)
        expect(leastMs).toBeLessThanOrEqual(Math.min(...all) + 1e-9)
        expect(mostMs).toBeGreaterThanOrEqual(Math.max(...all) - 1e-9)
      }),
    )
  })

  it('is expected in closed form as by enumeration, and its slopes are its derivatives', () => {
    fc.assert(
      fc.property(milliseconds, logits, (values, alpha) => {
        const latency = latencyOf(numbered(values))
        const p = alpha.map((row) => softmax(row))
        const enumerated = (probabilities: readonly (readonly number[])[]) =>
          paths.reduce(
            (sum, path) =>
              sum + path.reduce((product, option, d) => product * (probabilities[d]?.[option] as number), 1) * pathLatencyMs(latency, path),
            0,
          )
        expect(expectedLatencyMs(latency, p)).toBeCloseTo(enumerated(p), 9)
        const slopes = expectedLatencySlopes(latency, p)
        const fixed = latency.fixedMs
        for (const [d, row] of p.entries()) {
          for (const [option, value] of row.entries()) {
            const moved = p.map((other, i) => (i === d ? other.with(option, value + 1e-3) : other))
            // E is linear in each probability by itself; `enumerated` would count the fixed part with them.
            const slope = (expectedLatencyMs(latency, moved) - expectedLatencyMs(latency, p)) / 1e-3
            expect(slopes[d]?.[option]).toBeCloseTo(slope, 6)
          }
        }
        expect(fixed).toBeGreaterThan(0.5)
      }),
      { numRuns: 30 },
    )
  })

  it('finds the largest path of such a space, or one that no single option makes larger', () => {
    fc.assert(
      fc.property(milliseconds, (values) => {
        const space = toySpace(numbered(values))
        expect(isAdditive(space)).toBe(false)
        const found = largestPath(space)
        const macs = architectureCosts(space, found).macs
        for (const [d, size] of SIZES.entries())
          for (let option = 0; option < size; option++)
            expect(architectureCosts(space, found.with(d, option)).macs).toBeLessThanOrEqual(macs)
      }),
    )
  })
})
