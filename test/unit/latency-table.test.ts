import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { coverSpace, expectedLatencyMs, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { median, relativeHalfWidth, removeDrift, withoutOutliers } from '../../latency-lut/table/robust.ts'
import { canonicalJson, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, fixedParts } from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

const space = createSpace('fashion-mini')
const blocks = mbconvBlocks('fashion-mini')
const keys = space.measurableOperations().map(({ latencyKey }) => latencyKey)

/** Entry i costs i + 1 ms. */
function makeTable(changes: Record<string, unknown> = {}) {
  const entries = Object.fromEntries(keys.map((key, index) => [key, { meanMs: index + 1, stdMs: 0.1, count: 7 }]))
  return { name: 'made-up', device: { name: 'paper' }, runtime: { name: 'pencil' }, inputShape: [28, 28, 1], entries, ...changes }
}

function pathsRefused(value: unknown): string[] {
  const parsed = latencyTableSchema.safeParse(value)
  return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'))
}

describe('a latency table', () => {
  test('has batch 1 and no fixed part unless it says otherwise', () => {
    expect(latencyTableSchema.parse(makeTable())).toMatchObject({ batch: 1, fixedMs: 0 })
  })

  const entry = { meanMs: 1, stdMs: 0, count: 1 }
  test.each<[string, Record<string, unknown>, string]>([
    ['a name with capitals', { name: 'Pixel' }, 'name'],
    ['no device name', { device: {} }, 'device.name'],
    ['zero threads', { runtime: { name: 'x', threads: 0 } }, 'runtime.threads'],
    ['half an image', { batch: 0.5 }, 'batch'],
    ['a flat input', { inputShape: [28, 28] }, 'inputShape'],
    ['a day without time', { measuredAt: '2026-11-02' }, 'measuredAt'],
    ['negative fixed latency', { fixedMs: -1 }, 'fixedMs'],
    ['no entries', { entries: {} }, 'entries'],
    ['a latency of 0', { entries: { key: { ...entry, meanMs: 0 } } }, 'entries.key.meanMs'],
    ['an infinite latency', { entries: { key: { ...entry, meanMs: Number.POSITIVE_INFINITY } } }, 'entries.key.meanMs'],
    ['a negative deviation', { entries: { key: { ...entry, stdMs: -1 } } }, 'entries.key.stdMs'],
    ['no runs', { entries: { key: { ...entry, count: 0 } } }, 'entries.key.count'],
    ['an unknown field in an entry', { entries: { key: { ...entry, mean: 1 } } }, 'entries.key'],
  ])('with %s is refused at that field', (_, changes, path) => expect(pathsRefused(makeTable(changes))).toContain(path))
})

describe('coverage', () => {
  const table = latencyTableSchema.parse(makeTable({ fixedMs: 0.25 }))
  const coverage = coverSpace(space, table)
  if (coverage.kind !== 'covered') throw new Error('not covered')
  const { latency } = coverage
  const entryMs = (key: string | null) => (key === null ? 0 : (table.entries[key]?.meanMs ?? Number.NaN))
  const fixedMs = 0.25 + fixedParts(space).reduce((sum, part) => sum + entryMs(part.latencyKey), 0)

  test('names every missing key once and never takes one for 0', () => {
    fc.assert(
      fc.property(fc.subarray(keys, { minLength: 1, maxLength: keys.length - 1 }), (missing) => {
        const entries = Object.fromEntries(Object.entries(table.entries).filter(([key]) => !missing.includes(key)))
        const result = coverSpace(space, { ...table, entries })
        expect(result.kind).toBe('missing')
        expect(result.kind === 'missing' && result.keys.toSorted()).toEqual(missing.toSorted())
      }),
    )
  })

  test('Zero costs 0 and nothing else does', () => {
    const costs = space.decisions.flatMap(({ options }, b) =>
      options.map((option, j) => [option.isZero, latency.operationMs[b]?.[j] === 0]),
    )
    expect(costs.some(([isZero]) => isZero)).toBe(true)
    for (const [isZero, isFree] of costs) expect(isFree).toBe(isZero)
  })

  test('a path costs the fixed part and the sum of its entries', () => {
    const choice = fc.tuple(...space.decisions.map(({ options }) => fc.nat(options.length - 1)))
    fc.assert(
      fc.property(choice, (path) => {
        const chosen = path.map((operation, block) => entryMs(blocks[block]?.operations[operation]?.latencyKey ?? null))
        expect(pathLatencyMs(latency, path)).toBeCloseTo(
          chosen.reduce((sum, ms) => sum + ms, fixedMs),
          9,
        )
      }),
    )
  })

  test('the expected latency at uniform probabilities is the fixed part and the mean of every block', () => {
    const uniform = space.decisions.map(({ options }) => options.map(() => 1 / options.length))
    const means = blocks.map(
      ({ operations }) => operations.reduce((sum, { latencyKey }) => sum + entryMs(latencyKey), 0) / operations.length,
    )
    expect(expectedLatencyMs(latency, uniform)).toBeCloseTo(
      means.reduce((sum, ms) => sum + ms, fixedMs),
      9,
    )
  })
})

describe('a correction', () => {
  const correction = { offsetMs: -0.5, factor: 1.25, networks: 25 }
  const latencyOf = (changes: Record<string, unknown>) => {
    const coverage = coverSpace(space, latencyTableSchema.parse(makeTable({ fixedMs: 0.25, ...changes })))
    if (coverage.kind !== 'covered') throw new Error('not covered')
    return coverage.latency
  }
  const plain = latencyOf({})
  const corrected = latencyOf({ correction })
  const logits = fc.tuple(
    ...space.decisions.map(({ options }) =>
      fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: options.length, maxLength: options.length }),
    ),
  )
  const softmax = (alpha: readonly number[]) => {
    const total = alpha.reduce((sum, value) => sum + Math.exp(value), 0)
    return alpha.map((value) => Math.exp(value) / total)
  }

  test('makes offset + factor · latency of every path and of every expectation', () => {
    const choice = fc.tuple(...space.decisions.map(({ options }) => fc.nat(options.length - 1)))
    fc.assert(
      fc.property(choice, logits, (path, alphas) => {
        expect(pathLatencyMs(corrected, path)).toBeCloseTo(-0.5 + 1.25 * pathLatencyMs(plain, path), 9)
        const probabilities = alphas.map(softmax)
        expect(expectedLatencyMs(corrected, probabilities)).toBeCloseTo(-0.5 + 1.25 * expectedLatencyMs(plain, probabilities), 9)
      }),
    )
  })

  test('leaves the gradient formula true: dE/dalpha = p_i · (F_i − Σ p_j F_j), against finite differences', () => {
    const step = 1e-4
    fc.assert(
      fc.property(logits, fc.nat(space.decisions.length - 1), (alphas, block) => {
        const expectedAt = (change: number) =>
          expectedLatencyMs(
            corrected,
            alphas.map((alpha, index) => softmax(alpha.map((value, i) => (index === block && i === 0 ? value + change : value)))),
          )
        const numeric = (expectedAt(step) - expectedAt(-step)) / (2 * step)
        const p = softmax(alphas[block] ?? [])
        const f = corrected.operationMs[block] ?? []
        const mean = p.reduce((sum, probability, j) => sum + probability * (f[j] ?? 0), 0)
        expect(numeric).toBeCloseTo((p[0] ?? 0) * ((f[0] ?? 0) - mean), 4)
      }),
      { numRuns: 30 },
    )
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['that turns the order round', { correction: { ...correction, factor: -1 } }, 'correction.factor'],
    ['of one network', { correction: { ...correction, networks: 1 } }, 'correction.networks'],
    ['without an offset', { correction: { factor: 1, networks: 9 } }, 'correction.offsetMs'],
    ['with a quality of no rounds', { quality: { rounds: 0, droppedPct: 0, driftPct: 0 } }, 'quality.rounds'],
  ])('%s is refused at that field', (_, changes, path) => expect(pathsRefused(makeTable(changes))).toContain(path))
})

describe('canonical JSON', () => {
  test('does not depend on the order of keys', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed)
      if (value === null || typeof value !== 'object') return value
      const members = Object.entries(value).toReversed()
      return Object.fromEntries(members.map(([key, member]) => [key, reversed(member)]))
    }
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // Negative zero has no JSON of its own.
        const plain: unknown = JSON.parse(JSON.stringify(value))
        expect(canonicalJson(reversed(plain))).toBe(canonicalJson(plain))
        expect(JSON.parse(canonicalJson(plain))).toEqual(plain)
      }),
    )
    const table = latencyTableSchema.parse(makeTable())
    expect(canonicalJson(reversed(table))).toBe(canonicalJson(table))
  })

  test('leaves out members that are undefined, as JSON does', () => expect(canonicalJson({ b: undefined, a: [1] })).toBe('{"a":[1]}'))
})

describe('statistics of timings', () => {
  test('the median is the middle one, or the mean of the middle two', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(median([])).toBeNaN()
  })

  test('outliers go, equal values stay', () => {
    expect(withoutOutliers([1, 1.1, 0.9, 1.05, 0.95, 50])).toEqual([1, 1.1, 0.9, 1.05, 0.95])
    expect(withoutOutliers([2, 2, 2, 9])).toEqual([2, 2, 2, 9])
  })

  test('rounds that were slower for everybody leave no trace', () => {
    const positive = fc.double({ min: 0.01, max: 100, noNaN: true })
    fc.assert(
      fc.property(
        fc.array(positive, { minLength: 3, maxLength: 9 }),
        fc.array(positive, { minLength: 3, maxLength: 9 }),
        (levels, effects) => {
          const middle = Math.exp(median(effects.map(Math.log)))
          const steady = removeDrift(levels.map((level) => effects.map((effect) => level * effect)))
          for (const [subject, row] of steady.entries())
            for (const value of row) expect(value / (levels[subject] as number) / middle).toBeCloseTo(1, 6)
        },
      ),
    )
  })

  test('the interval of a median shrinks with more samples and is endless for too few', () => {
    const [few, many] = [100, 1000].map((count) => relativeHalfWidth(Array.from({ length: count }, (_, index) => 1 + index / count)))
    expect(relativeHalfWidth([1, 2, 3])).toBe(Number.POSITIVE_INFINITY)
    expect(many).toBeLessThan((few ?? 0) / 2)
    expect(relativeHalfWidth([5, 5, 5, 5, 5, 5])).toBe(0)
  })
})
