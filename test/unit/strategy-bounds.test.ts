// Bounds on any cost: what costs are, how distributions are kept from going beyond, and that candidates never do.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { searchStatusSchema, type SearchConfigInput, type StrategyName } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { type OpenSearch, openSearch, searchStatus, startSearch } from '../../rules/search/index.ts'
import {
  architectureCosts,
  costRange,
  costsOfParts,
  createRandom,
  expectedCost,
  expectedCostSlopes,
  pathCost,
  randomPath,
  seedState,
} from '../../search-space/index.ts'
import { updateAlpha } from '../../strategies/alpha-update.ts'
import { addedBounds, allBounds, keeps, mostProbableKeeping, penaltySlope } from '../../strategies/bounds.ts'
import { costMultipliers } from '../../strategies/cost-multipliers.ts'
import { costOf, type RecordedCosts } from '../../strategies/costs.ts'
import { softmax } from '../../strategies/distribution.ts'
import { boundedBy, broughtWithin, cheapestPath, isWithin } from '../../strategies/evolution.ts'
import { findStrategy, type StrategyContext } from '../../strategies/index.ts'
import { groupsOf } from '../../strategies/joint-distribution.ts'
import { boundFactor } from '../../strategies/rewards.ts'
import { answerWork, makeContext, makeSetup, resultOutcome, type SearchOptions } from '../fixtures/searches.ts'

const base: SearchOptions = { blocks: 4, targetMs: 1e6 }
const plain = makeContext(base)
const { space } = plain
const everyPath = space.decisions.reduce<number[][]>(
  (paths, { options }) => paths.flatMap((path) => options.map((_, option) => [...path, option])),
  [[]],
)
const macsOf = (path: readonly number[]) => architectureCosts(space, path).macs
const sortedMacs = everyPath.map(macsOf).toSorted((a, b) => a - b)
/** A third of all architectures have no more. */
const fewMacs = sortedMacs[Math.floor(sortedMacs.length / 3)] as number
const withBounds = (bounds: SearchConfigInput['bounds'], options: SearchOptions = {}) => makeContext({ ...base, bounds, ...options })

describe('a cost', () => {
  it('of an architecture is that of its parts', () => {
    for (const path of everyPath) {
      const { macs, parameters } = architectureCosts(space, path)
      const of = (name: string) => costOf(plain, name, 'x').of(path)
      expect([of('macs'), of('parameters'), of('weightBytes')]).toEqual([macs, parameters, 4 * parameters])
    }
    for (const name of ['macs', 'parameters', 'latencyMs']) {
      const { of, least } = costOf(plain, name, 'x')
      expect(least).toBeCloseTo(Math.min(...everyPath.map(of)), 9)
    }
  })

  it('is expected in closed form as over all architectures, with its slopes', () => {
    const terms = costsOfParts(space, ({ macs }) => macs)
    expect(costRange(terms)).toEqual({ least: sortedMacs[0], most: sortedMacs.at(-1) })
    const row = fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 8, maxLength: 8 })
    fc.assert(
      fc.property(fc.tuple(row, row, row, row), (rows) => {
        const p = space.decisions.map(({ options }, decision) => softmax((rows[decision] as number[]).slice(0, options.length)))
        const expected = everyPath.reduce(
          (sum, path) => sum + pathCost(terms, path) * path.reduce((product, option, d) => product * (p[d]?.[option] as number), 1),
          0,
        )
        expect(expectedCost(terms, p) / expected).toBeCloseTo(1, 10)
        const moved = p.with(1, (p[1] as number[]).with(0, (p[1]?.[0] as number) + 0.25))
        const slope = (expectedCost(terms, moved) - expectedCost(terms, p)) / 0.25
        expect((expectedCostSlopes(terms, p)[1]?.[0] as number) / slope).toBeCloseTo(1, 8)
      }),
      { numRuns: 20 },
    )
  })
})

describe('the penalty of a distribution', () => {
  /** λ · h(E / B), as strategies/bounds.ts defines it, written out apart from it. */
  const penalty = (expected: number, atMost: number, weight: number) => {
    const over = expected / atMost - 0.9
    return weight * (over <= 0 ? 0 : over < 0.1 ? over ** 2 / 0.2 : over - 0.05)
  }

  it('has the slope that it should have', () => {
    for (const expected of [1, 8.9, 9.2, 9.9, 10.4, 30]) {
      const numeric = (penalty(expected + 1e-6, 10, 3) - penalty(expected - 1e-6, 10, 3)) / 2e-6
      expect(penaltySlope({ atMost: 10, weight: 3 }, expected)).toBeCloseTo(numeric, 6)
    }
  })

  it('enters the gradient of alpha by finite differences, with that of latency', () => {
    const terms = costsOfParts(space, ({ macs }) => macs)
    const random = createRandom(seedState('penalty'))
    const alpha = space.decisions.map(({ options }) => options.map(() => random.normal()))
    const { latency } = plain
    const atMost = 0.95 * expectedCost(terms, alpha.map(softmax))
    const lossAt = (rows: readonly (readonly number[])[]) => penalty(expectedCost(terms, rows.map(softmax)), atMost, 2)
    const zeros = alpha.map((row) => row.map(() => 0))
    const state = { alpha, firstMoment: zeros, secondMoment: zeros, steps: alpha.map(() => 0) }
    const samples = alpha.map((row) => ({ operations: row.map((_, i) => i), gateGradients: row.map(() => 0) }))
    // A large epsilon makes of Adam's first step rate · gradient / epsilon.
    const adam = { learningRate: 1, beta1: 0, beta2: 0, epsilon: 1e9 }
    const loss = { kind: 'none' as const }
    const settings = { form: 'full' as const, adam, loss, targetMs: 1, latency, penalties: [{ terms, atMost, weight: 2 }] }
    const { alpha: after } = updateAlpha(state, samples, 1, settings).state
    let largest = 0
    for (const [decision, row] of alpha.entries()) {
      for (const [option, value] of row.entries()) {
        const shifted = (step: number) => alpha.with(decision, row.with(option, value + step))
        const numeric = (lossAt(shifted(1e-5)) - lossAt(shifted(-1e-5))) / 2e-5
        expect((value - (after[decision]?.[option] as number)) * 1e9).toBeCloseTo(numeric, 6)
        largest = Math.max(largest, Math.abs(numeric))
      }
    }
    expect(largest).toBeGreaterThan(0.01)
  })

  it('is a share of the multipliers of sampled architectures, and a factor of their rewards', () => {
    const context = withBounds([{ cost: 'macs', atMost: fewMacs, weight: 0.5 }])
    const dear = everyPath.find((path) => macsOf(path) === sortedMacs.at(-1)) as number[]
    const cheap = everyPath.find((path) => macsOf(path) <= fewMacs) as number[]
    const half = everyPath.find((path) => macsOf(path) > fewMacs && macsOf(path) < macsOf(dear)) as number[]
    const over = [half, dear].map((path) => macsOf(path) / fewMacs - 1)
    const sum = (over[0] as number) + (over[1] as number)
    const taken = costMultipliers([{ path: cheap }, { path: half }, { path: dear }], 1, context)
    expect(taken[0]).toBe(0)
    expect(taken[1]).toBeCloseTo((0.5 * (over[0] as number)) / sum, 12)
    expect(taken[2]).toBeCloseTo((0.5 * (over[1] as number)) / sum, 12)
    expect(boundFactor(addedBounds(context), cheap)).toBe(1)
    expect(boundFactor(addedBounds(context), dear)).toBeCloseTo(Math.sqrt(fewMacs / macsOf(dear)), 12)
  })
})

describe('the most probable architecture within bounds', () => {
  const probabilities = fc.integer().map((seed) => {
    const random = createRandom(seedState('derive', seed))
    return space.decisions.map(({ options }) => softmax(options.map(() => 2 * random.normal())))
  })
  const logProbability = (p: readonly (readonly number[])[], path: readonly number[]) =>
    path.reduce((sum, option, decision) => sum + Math.log(p[decision]?.[option] as number), 0)

  it.each([
    ['one', [{ cost: 'macs', atMost: fewMacs }]],
    [
      'several',
      [
        { cost: 'macs', atMost: fewMacs },
        { cost: 'parameters', atMost: 3000 },
      ],
    ],
  ])('is that of all of them, with %s', (_, inputs) => {
    const bounds = addedBounds(withBounds(inputs))
    const within = everyPath.filter((path) => keeps(bounds, path))
    expect(within.length).toBeGreaterThan(1)
    expect(within.length).toBeLessThan(everyPath.length)
    fc.assert(
      fc.property(probabilities, (p) => {
        const best = Math.max(...within.map((path) => logProbability(p, path)))
        const found = mostProbableKeeping(bounds, groupsOf({ alpha: p.map((row) => row.map(Math.log)) }, space))
        expect(keeps(bounds, found)).toBe(true)
        // Sums of costs are told apart to a 4096th of the bound.
        expect(logProbability(p, found)).toBeGreaterThan(best - 0.05)
      }),
    )
  })
})

const supernet = { images: 64, warmupSteps: 0, archEvery: 1, evaluateEvery: 4 }
const strategies: { readonly [Name in StrategyName]?: SearchOptions['strategy'] } = {
  'proxyless-r': { name: 'proxyless-r', samples: 4, ...supernet },
  parsec: { name: 'parsec', samples: 4, ...supernet },
  'fp-nas': { name: 'fp-nas', ...supernet },
  spos: { name: 'spos', population: 6, generations: 4, parents: 3, images: 64 },
  random: { name: 'random', trials: 20 },
  'aging-evolution': { name: 'aging-evolution', trials: 30, population: 6, sample: 3 },
  'local-search': { name: 'local-search', trials: 30, starts: 3 },
}

describe.each(Object.entries(strategies))('%s', (name, settings) => {
  it('never looks at an architecture beyond a bound, and ends with one that keeps it', () => {
    const options: SearchOptions = {
      ...base,
      steps: 8,
      ...(settings && { strategy: settings }),
      bounds: [{ cost: 'macs', atMost: fewMacs }],
    }
    const context = makeContext(options)
    const strategy = findStrategy(name as StrategyName)
    let state = strategy.init(context)
    const seen: number[][] = []
    for (let task = 1; ; task++) {
      const proposal = strategy.propose(state, context)
      if (proposal.kind !== 'work') break
      const { work } = proposal
      if (work.kind === 'evaluatePaths') seen.push(...work.paths)
      if (work.kind === 'trainArchitecture') seen.push(work.path)
      state = strategy.absorb(proposal.state, proposal, resultOutcome(answerWork(work, space, task)), context).state
    }
    expect(seen.length).toBeGreaterThan(10)
    for (const path of seen) expect(macsOf(path)).toBeLessThanOrEqual(fewMacs)
    expect(macsOf(strategy.derive(state, context))).toBeLessThanOrEqual(fewMacs)
    // It says so.
    const fronts = strategy.describe(state, context).fronts ?? []
    expect(fronts.map(({ cost }) => cost)).toEqual(['latencyMs', 'macs', 'parameters'])
    expect(fronts[1]?.points.at(-1)?.value).toBeLessThanOrEqual(fewMacs)
  })
})

describe('an exchange', () => {
  it('brings an architecture back within the bounds where one more change can, and leaves alone what is within', () => {
    const bounded = boundedBy(withBounds([{ cost: 'macs', atMost: fewMacs }]))
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const random = createRandom(seedState('exchange', seed))
        const path = randomPath(space, random)
        const found = broughtWithin(bounded, path, random)
        const differs = (other: readonly number[]) => other.filter((option, decision) => option !== path[decision]).length
        if (isWithin(bounded, path)) expect(found).toEqual(path)
        else if (found) expect([isWithin(bounded, found), differs(found)]).toEqual([true, 1])
        else expect(everyPath.filter((other) => differs(other) === 1 && isWithin(bounded, other))).toEqual([])
      }),
    )
    expect(isWithin(bounded, cheapestPath(bounded))).toBe(true)
  })
})

describe('bounds that cannot be', () => {
  const recordedCosts: RecordedCosts = {
    columns: ['phone'],
    read: (_, path) => (path[0] === 0 ? 5 : null),
    least: () => 5,
  }
  const init = (strategy: StrategyName, bounds: SearchConfigInput['bounds'], more: Partial<StrategyContext> = {}) =>
    findStrategy(strategy).init({
      ...withBounds(bounds, strategy === 'proxyless-g' ? {} : { strategy: { name: strategy } as never }),
      ...more,
    })
  const path = (of: string) => expect.objectContaining({ errors: [expect.objectContaining({ path: of })] })

  it.each(['proxyless-g', 'proxyless-r', 'parsec', 'random', 'spos'] as const)('are refused by %s, the field named', (strategy) => {
    expect(() => init(strategy, [{ cost: 'parameters', atMost: 1 }])).toThrow(path('bounds[0].atMost'))
    expect(() => init(strategy, [{ cost: 'recorded:phone', atMost: 9 }])).toThrow(path('bounds[0].cost'))
    expect(() => init(strategy, [{ cost: 'recorded:tablet', atMost: 9 }], { recordedCosts })).toThrow('expected one of phone, got tablet')
    expect(() => init(strategy, [{ cost: 'recorded:phone', atMost: 4 }], { recordedCosts })).toThrow('expected at least 5')
  })

  it('are refused by gradients where a cost has no closed form, and taken by samples', () => {
    expect(() => init('proxyless-g', [{ cost: 'recorded:phone', atMost: 9 }], { recordedCosts })).toThrow('closed form')
    init('parsec', [{ cost: 'recorded:phone', atMost: 9 }], { recordedCosts })
    const context = { ...withBounds([{ cost: 'recorded:phone', atMost: 9 }]), recordedCosts }
    // What was not measured keeps no bound.
    expect([0, 1].map((option) => keeps(allBounds(context), [option, 0, 0, 0]))).toEqual([true, false])
  })

  it('are refused with the settings where one cost has two', () => {
    const bound = { cost: 'macs', atMost: 1e9 }
    expect(() => withBounds([bound, bound])).toThrow('expected one bound for each cost')
    expect(() => withBounds([{ cost: 'watts', atMost: 1 }])).toThrow('expected latencyMs, macs, parameters, weightBytes or recorded:COLUMN')
  })
})

describe('the status', () => {
  it('shows each cost with its bound, what is expected of it, and whether it is kept', () => {
    const store = createMemoryStore()
    startSearch(() => store, makeSetup({ ...base, bounds: [{ cost: 'macs', atMost: fewMacs }] }))
    const status = searchStatusSchema.parse(searchStatus(openSearch(store) as OpenSearch))
    const [latency, macs] = status.bounds ?? []
    expect(latency).toEqual({
      cost: 'latencyMs',
      atMost: 1e6,
      value: status.current.latencyMs,
      expected: expect.closeTo(status.expectedLatencyMs as number, 9),
      isMet: true,
    })
    const uniform = everyPath.reduce((sum, path) => sum + macsOf(path), 0) / everyPath.length
    expect(macs).toMatchObject({ cost: 'macs', atMost: fewMacs, value: macsOf(status.current.path), isMet: true })
    expect((macs?.expected as number) / uniform).toBeCloseTo(1, 2)
    expect(macsOf(status.current.path)).toBeLessThanOrEqual(fewMacs)
  })
})
