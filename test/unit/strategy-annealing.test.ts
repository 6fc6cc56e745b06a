// FOX-NAS in spos: generations by annealing on a regression.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { createRandom, seedState } from '../../search-space/index.ts'
import { anneal, changedAt } from '../../strategies/annealing.ts'
import { boundedBy, isWithin } from '../../strategies/evolution.ts'
import { createFeatures, fitRegression } from '../../strategies/regression.ts'
import { spos } from '../../strategies/spos.ts'
import { makeContext, makeSpaceRef, type SearchOptions } from '../fixtures/searches.ts'
import { runSharedWeights } from '../fixtures/shared-weight-runs.ts'

const exampleSchema = z.object({
  regression: z.object({
    sizes: z.array(z.int()),
    places: z.array(z.array(z.int())),
    fits: z.array(
      z.object({
        ridge: z.number(),
        /** The option of each decision that is a skip. */
        skips: z.array(z.int().nullable()),
        examples: z.array(z.object({ path: z.array(z.int()), score: z.number() })),
        values: z.array(z.number()),
      }),
    ),
  }),
})
const fixture = new URL('../fixtures/shared-weight-options.json', import.meta.url)
const { sizes, places, fits } = exampleSchema.parse(JSON.parse(readFileSync(fixture, 'utf8'))).regression
/** The last decision counts fastest. */
const allPaths = sizes.reduce<number[][]>(
  (paths, size) => paths.flatMap((path) => Array.from({ length: size }, (_, option) => [...path, option])),
  [[]],
)

const contextWith = (strategy: object = {}, options: SearchOptions = {}) =>
  makeContext({
    blocks: 6,
    steps: 4,
    targetMs: 60,
    strategy: { name: 'spos', search: 'annealing', images: 64, population: 6, generations: 4, parents: 4, ...strategy },
    ...options,
  })

/** Decisions of so many options, and which of these is a skip. */
const decisionsOf = (counts: readonly number[], skips: readonly (number | null)[] = []) =>
  counts.map((count, decision) => ({
    options: Array.from({ length: count }, (_, option) => (option === skips[decision] ? { isSkip: true as const } : {})),
  }))

describe('the regression', () => {
  it.each(fits)(
    'predicts what an independent computation in float64 does, with a ridge of $ridge and skips $skips',
    ({ ridge, skips, examples, values }) => {
      const valueOf = fitRegression(examples, { decisions: decisionsOf(sizes, skips), places, ridge })
      for (const [n, path] of allPaths.entries()) expect(valueOf(path)).toBeCloseTo(values[n] as number, 9)
    },
  )

  it('has a coefficient for each option but the first, and for pairs of these within a place', () => {
    const decisions = decisionsOf(sizes)
    expect(createFeatures({ decisions, places }).count).toBe(1 + 2 + 1 + 3 + 2 * 3)
    expect(createFeatures({ decisions, places: [] }).count).toBe(1 + 2 + 1 + 3)
    expect(createFeatures({ decisions, places }).of([0, 0, 0])).toEqual([{ number: 0, value: 1 }])
  })

  it('has one for each depth between the least and the most: how many layers an architecture has beyond it', () => {
    const featuresOf = (...skips: (number | null)[]) => createFeatures({ decisions: decisionsOf([2, 2, 2, 2], skips), places: [] })
    expect(
      [featuresOf(0, 0, 0, 0), featuresOf(null, 0, 0, 0), featuresOf(null, null, 0, 0), featuresOf(null, null, null, 0)].map(
        ({ count }) => count - 5,
      ),
    ).toEqual([3, 2, 1, 0])
    const beyond = (path: number[]) =>
      [5, 6].map(
        (number) =>
          featuresOf(null, 0, 0, 0)
            .of(path)
            .find((feature) => feature.number === number)?.value ?? 0,
      )
    expect(
      [
        [0, 0, 0, 0],
        [1, 0, 0, 1],
        [0, 1, 0, 1],
        [1, 1, 1, 1],
      ].map(beyond),
    ).toEqual([
      [0, 0],
      [0, 0],
      [1, 0],
      [2, 1],
    ])
  })

  it('finds the best where each layer adds less than the one before, which a sum over options cannot say', () => {
    // Wide layers are worth more than narrow ones; a third layer adds nothing, and a fourth takes away.
    const counts = [3, 3, 3, 3]
    const worth = ([...path]: readonly number[]) =>
      path.reduce((sum, option) => sum + option, 0) - 2 * Math.max(0, path.filter((option) => option > 0).length - 2) ** 2
    const paths = Array.from({ length: 81 }, (_, i) => [i % 3, Math.floor(i / 3) % 3, Math.floor(i / 9) % 3, Math.floor(i / 27)])
    const examples = paths.map((path) => ({ path, score: worth(path) }))
    const bestBy = (skips: readonly (number | null)[]) => {
      const valueOf = fitRegression(examples, { decisions: decisionsOf(counts, skips), places: [], ridge: 1 })
      return worth(paths.toSorted((a, b) => valueOf(b) - valueOf(a))[0] as number[])
    }
    const best = Math.max(...paths.map(worth))
    expect(bestBy([0, 0, 0, 0])).toBe(best)
    expect(bestBy([null, null, null, null])).toBeLessThan(best)
  })

  it('without a ridge leaves a column that is a sum of others at 0, and predicts what it was shown', () => {
    // Decisions 0 and 1 always agree: their columns are the same.
    const examples = [0, 1].flatMap((a) => [0, 1, 2].map((b) => ({ path: [a, a, b], score: 0.3 + 0.2 * a + 0.1 * b })))
    const valueOf = fitRegression(examples, { decisions: decisionsOf([2, 2, 3]), places: [], ridge: 0 })
    for (const { path, score } of examples) expect(valueOf(path)).toBeCloseTo(score, 9)
    expect(valueOf([0, 1, 0])).toBeCloseTo(0.3, 9)
  })
})

describe('annealing', () => {
  const random = () => createRandom(seedState('annealing', 1))

  it('finds the best within the bounds, where greedy moves end in a worse one, and nothing beyond them', () => {
    const bounded = boundedBy(contextWith({}, { blocks: 4, targetMs: 6 }))
    // Every second step towards the best is a little worse than where it starts, and a move draws one of four decisions.
    const valueOf = (path: readonly number[]) => {
      const zeros = path.filter((option) => option === 2).length
      return zeros % 2 === 0 ? 0.01 * zeros : 0.01 * (zeros - 1) - 0.0005
    }
    const found = anneal(bounded, valueOf, { restarts: 5, moves: 1000, slack: 0.001 }, random())
    expect(found[0]?.path).toEqual([2, 2, 2, 2])
    for (const { path } of found) expect(isWithin(bounded, path)).toBe(true)
    expect(new Set(found.map(({ path }) => path.join())).size).toBe(found.length)
    expect(found.map(({ value }) => value)).toEqual(found.map(({ value }) => value).toSorted((a, b) => b - a))
    const greedy = anneal(bounded, valueOf, { restarts: 5, moves: 1000, slack: 0 }, random())
    expect(greedy[0]?.value).toBeLessThan(0.04)
  })

  it('keeps to the options that it is given, and finds nothing where nothing is within the bounds', () => {
    const bounded = boundedBy(contextWith())
    const options = bounded.space.decisions.map((_, decision) => (decision < 3 ? [1] : [0, 2]))
    const found = anneal({ ...bounded, options }, () => 0, { restarts: 1, moves: 50, slack: 0 }, random())
    for (const { path } of found) for (const [decision, option] of path.entries()) expect(options[decision]).toContain(option)
    const nothing = boundedBy(contextWith({}, { targetMs: 0.01 }))
    expect(anneal(nothing, () => 0, { restarts: 2, moves: 50, slack: 0 }, random())).toEqual([])
  })

  it("draws 8 of 25 decisions anew and later 5, as in the authors' code, and always one at least", () => {
    expect([0, 1500, 3000, 9000].map((move) => changedAt(move, 10_000, 25))).toEqual([8, 7, 5, 5])
    fc.assert(fc.property(fc.nat(500), fc.integer({ min: 1, max: 4 }), (move, decisions) => changedAt(move, 200, decisions) >= 1))
  })
})

describe('a search by annealing', () => {
  /** A sum over decisions, which a regression without products learns from a few examples. */
  const scoreOf = (path: readonly number[]) => path.reduce((sum, option, decision) => sum + [0, 0.02, 0.05][option]! * (1 + decision), 0.1)

  /** Twenty decisions of one place, with seven options each. */
  const wide = makeSpaceRef({ blocks: 20, kernels: [3, 5, 7], expansions: [2, 3] })

  it('evaluates what the regression of everything before foretells to be best, and so finds the best in the second generation', () => {
    const context = contextWith({ population: 14, generations: 2 })
    const { state, evaluated } = runSharedWeights(spos, context, scoreOf)
    expect(evaluated).toHaveLength(28)
    expect(new Set(evaluated.map(String)).size).toBe(28)
    expect(spos.derive(state, context)).toEqual([2, 2, 2, 2, 2, 2])
    const mean = (paths: readonly number[][]) => paths.reduce((sum, path) => sum + scoreOf(path) / paths.length, 0)
    expect(mean(evaluated.slice(14))).toBeGreaterThan(mean(evaluated.slice(0, 14)) + 0.1)
  })

  it('is another search than evolution, which is what a search without the setting does', () => {
    const run = (strategy: object) => runSharedWeights(spos, contextWith(strategy), scoreOf).evaluated
    expect(run({ search: undefined })).toEqual(run({ search: 'evolution' }))
    expect(run({})).not.toEqual(run({ search: 'evolution' }))
  })

  it.each([
    [{ search: 'evolution', annealing: { moves: 50 } }, {}, 'strategy.annealing'],
    [{}, { space: wide }, 'strategy.annealing.products'],
  ])('refuses %j, the field named', (strategy, options, field) => {
    const context = contextWith(strategy, { ...options, targetMs: 1e6 })
    expect(() => spos.init(context)).toThrow(expect.objectContaining({ errors: [expect.objectContaining({ path: field })] }))
  })

  it('takes spaces of many options without products', () => {
    expect(() => spos.init(contextWith({ annealing: { products: false } }, { space: wide, targetMs: 1e6 }))).not.toThrow()
  })
})
