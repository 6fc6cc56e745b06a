import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { coverSpace, pathLatencyMs, predictedPart } from '../../latency-lut/table/coverage.ts'
import { parseTableKey } from '../../latency-lut/table/keys.ts'
import { solveNonNegative } from '../../latency-lut/table/non-negative-least-squares.ts'
import { fillMissing, holdOut } from '../../latency-lut/table/prediction.ts'
import { fitPredictor } from '../../latency-lut/table/predictor.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, latencyKey, type MeasurableOperation, type PrimitiveLayer } from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

const space = createSpace('proxyless-mobile')
const measurable = space.measurableOperations()
const keys = measurable.map(({ latencyKey: key }) => key)

/** A device whose 7×7 depthwise code is five times as slow as the rest: what F has to find out by itself. */
function deviceMs(key: string): number {
  const operation = parseTableKey(key)
  if (operation.type !== 'expanded_conv') return 1.5
  const { input, output, expand, kernel, shortcut } = operation
  const width = input[2] * expand
  const outputs = output[0] * output[1] * width
  const expandMacs = expand === 1 ? 0 : input[0] * input[1] * input[2] * width
  const slowdown = kernel === 7 ? 5 : 1
  return (
    0.02 + 5e-8 * (expandMacs + outputs * output[2]) + 1e-7 * slowdown * kernel ** 2 * outputs + (shortcut ? 1e-6 * outputs : 0) / width
  )
}

function makeTable(noise = 0, chosen: readonly string[] = keys): LatencyTable {
  const entries = chosen.map((key, index) => [key, { meanMs: deviceMs(key) * (1 + noise * Math.sin(7 * index)), stdMs: 0.01, count: 20 }])
  return latencyTableSchema.parse({
    name: 'device',
    device: { name: 'paper' },
    runtime: { name: 'pencil' },
    inputShape: [...space.input],
    entries: Object.fromEntries(entries),
  })
}

function predictMs(table: LatencyTable, key: string): number {
  const prediction = fitPredictor(table).predict(key)
  if (prediction.kind === 'refused') throw new Error(prediction.reason)
  return prediction.entry.meanMs
}

describe('non-negative least squares', () => {
  test('ends where no allowed change of one coordinate helps', () => {
    const number = fc.double({ min: -10, max: 10, noNaN: true }).map((value) => Math.round(value * 100) / 100)
    const system = fc
      .integer({ min: 1, max: 5 })
      .chain((width) =>
        fc.array(fc.tuple(fc.array(number, { minLength: width, maxLength: width }), number), { minLength: width + 2, maxLength: 12 }),
      )
    fc.assert(
      fc.property(system, (equations) => {
        const rows = equations.map(([row]) => row)
        const x = solveNonNegative(
          rows,
          equations.map(([, target]) => target),
        )
        const rest = equations.map(([row, target]) => row.reduce((sum, value, j) => sum + value * (x[j] as number), -target))
        for (const [j, value] of x.entries()) {
          const slope = rows.reduce((sum, row, i) => sum + (row[j] as number) * (rest[i] as number), 0)
          const scale = 1e-4 * (1 + rows.reduce((sum, row) => sum + Math.abs(row[j] as number), 0))
          expect(value).toBeGreaterThanOrEqual(0)
          expect(slope).toBeGreaterThan(-scale)
          if (value > 1e-6) expect(slope).toBeLessThan(scale)
        }
      }),
    )
  })

  test('finds the solution where it is not negative, and leaves a column of zeros at 0', () => {
    const x = solveNonNegative(
      [
        [1, 2, 0],
        [3, 1, 0],
        [1, 1, 0],
      ],
      [8, 9, 5],
    )
    for (const [j, wanted] of [2, 3, 0].entries()) expect(x[j]).toBeCloseTo(wanted, 9)
  })
})

describe('F', () => {
  test('finds a device that is a sum of its parts, with a slow kernel size of its own', () => {
    const { fits } = fitPredictor(makeTable())
    expect(fits.map(({ type, entries, folds }) => ({ type, entries, folds }))).toEqual([{ type: 'expanded_conv', entries: 67, folds: 10 }])
    expect(fits[0]?.mapePct).toBeLessThan(0.2)
  })

  test('is no further off than the noise of the entries', () => {
    expect(fitPredictor(makeTable(0.03)).fits[0]?.mapePct).toBeLessThan(3)
    const heldOut = holdOut(makeTable(0.03), 10)
    expect(heldOut.entries).toHaveLength(7)
    expect(heldOut.mapePct).toBeLessThan(5)
  })

  test('is never negative, and never less for a larger operation, whatever the measurements', () => {
    const means = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: keys.length, maxLength: keys.length })
    const size = fc.integer({ min: 1, max: 300 })
    const block = fc.record({
      side: size,
      channels: size,
      outputs: size,
      expand: fc.integer({ min: 1, max: 8 }),
      kernel: fc.constantFrom(3, 5, 7),
    })
    fc.assert(
      fc.property(means, block, fc.constantFrom('side', 'channels', 'outputs', 'expand', 'kernel'), (values, small, grown) => {
        const entries = Object.fromEntries(keys.map((key, index) => [key, { meanMs: values[index], stdMs: 0, count: 1 }]))
        const predictor = fitPredictor(latencyTableSchema.parse({ ...makeTable(), entries }))
        const msOf = ({ side, channels, outputs, expand, kernel }: typeof small) => {
          const prediction = predictor.predict(
            latencyKey({
              type: 'expanded_conv',
              input: [side, side, channels],
              output: [side, side, outputs],
              expand,
              kernel,
              stride: 1,
              shortcut: false,
            }),
          )
          return prediction.kind === 'predicted' ? prediction.entry.meanMs : 0
        }
        const large = { ...small, [grown]: grown === 'kernel' ? Math.min(7, small.kernel + 2) : small[grown] + 1 }
        expect(msOf(small)).toBeGreaterThanOrEqual(0)
        expect(msOf(large)).toBeGreaterThanOrEqual(msOf(small) * (1 - 1e-12))
      }),
      { numRuns: 30 },
    )
  })

  test('is the same whatever the order of the entries', () => {
    const table = makeTable(0.05)
    const reversed = { ...table, entries: Object.fromEntries(Object.entries(table.entries).toReversed()) }
    expect(fitPredictor(reversed).fits).toEqual(fitPredictor(table).fits)
  })

  test('learns from measurements only, not from earlier predictions', () => {
    const table = makeTable(0.05)
    const { fits } = fitPredictor(table)
    const guess = { meanMs: 1e6, stdMs: 0, count: 0, predicted: { rmseMs: 1, mapePct: 1 } }
    const key = 'expanded_conv-input:9x9x9-output:9x9x9-expand:3-kernel:3-stride:1-idskip:1'
    expect(fitPredictor({ entries: { ...table.entries, [key]: guess } }).fits).toEqual(fits)
  })

  test('learns from tables that give expanded widths in channels, but not from blocks with squeeze-and-excite', () => {
    const table = makeTable()
    const variants = Object.entries(table.entries).map(([key, entry]) => {
      const operation = parseTableKey(key)
      if (operation.type !== 'expanded_conv') return [key, entry] as const
      return [`${latencyKey({ ...operation, expand: operation.expand * operation.input[2] })}-se:0-hs:0`, entry] as const
    })
    const withSe = {
      ['expanded_conv-input:9x9x9-output:9x9x9-expand:27-kernel:3-stride:1-idskip:1-se:1-hs:0']: { meanMs: 1e6, stdMs: 0, count: 1 },
    }
    const key = 'expanded_conv-input:9x9x9-output:9x9x9-expand:3-kernel:3-stride:1-idskip:1'
    expect(predictMs({ ...table, entries: { ...Object.fromEntries(variants), ...withSe } }, key)).toBeCloseTo(predictMs(table, key), 6)
  })

  test('knows projections from each other, and from no other type', () => {
    const keyOf = (side: number, channels: number) =>
      latencyKey({ type: 'Projection', input: [side, side, channels], output: [side / 2, side / 2, 2 * channels], stride: 2 })
    const device = (side: number, channels: number) => 0.01 + 1e-8 * side ** 2 * channels ** 2
    const sizes = [32, 16, 8].flatMap((side) => [8, 16].map((channels) => [side, channels] as const))
    const measured = sizes.map(([side, channels]) => [keyOf(side, channels), { meanMs: device(side, channels), stdMs: 0, count: 1 }])
    const entries = { ...makeTable().entries, ...Object.fromEntries(measured) }
    expect(predictMs({ ...makeTable(), entries }, keyOf(64, 32))).toBeCloseTo(device(64, 32), 3)
    expect(fitPredictor(makeTable()).predict(keyOf(64, 32))).toEqual({
      kind: 'refused',
      reason: 'the table has 0 measured entries of type Projection; expected 5 at least',
    })
  })

  test.each([
    [
      'the only stem of a table',
      keys,
      'Conv-input:9x9x3-output:9x9x8',
      'the table has 1 measured entries of type Conv; expected 5 at least',
    ],
    [
      'a block where the table has eleven',
      keys.slice(0, 14),
      'expanded_conv-input:9x9x9-output:9x9x9-expand:3-kernel:3-stride:1-idskip:1',
      'the table has 11 measured entries of type expanded_conv; expected 12 at least',
    ],
    [
      'a kernel size that the table lacks',
      keys.filter((key) => !key.includes('kernel:7')),
      'expanded_conv-input:9x9x9-output:9x9x9-expand:3-kernel:7-stride:1-idskip:1',
      'the table has 0 measured entries of type expanded_conv with kernel 7; expected 2 at least',
    ],
    ['what no space has', keys, 'AvgPool2D-input:7x7x9-output:9', 'no space asks for such an operation'],
  ])('does not guess %s', (_, chosen, key, reason) => {
    expect(fitPredictor(makeTable(0, chosen)).predict(key)).toEqual({ kind: 'refused', reason })
  })
})

describe('filling what a table lacks', () => {
  const missing = keys.filter((key, index) => index % 10 === 9)
  const holes = makeTable(
    0,
    keys.filter((key) => !missing.includes(key)),
  )
  const { table, predicted, refused } = fillMissing(space, holes)

  test('adds exactly the missing keys, marked with the accuracy of F, and the space is covered', () => {
    expect(refused).toEqual([])
    expect(Object.keys(predicted).toSorted()).toEqual(missing.toSorted())
    const [fit] = fitPredictor(holes).fits
    for (const key of missing) {
      expect(table.entries[key]).toMatchObject({ count: 0, predicted: { rmseMs: fit?.rmseMs, mapePct: fit?.mapePct } })
      expect((table.entries[key]?.meanMs ?? 0) / deviceMs(key)).toBeCloseTo(1, 2)
    }
    expect(latencyTableSchema.parse(table)).toEqual(table)
    const [filled, whole] = [table, makeTable()].map((each) => coverSpace(space, each))
    if (filled?.kind !== 'covered' || whole?.kind !== 'covered') throw new Error('not covered')
    const path = space.decisions.map(({ options }, block) => block % options.length)
    expect(pathLatencyMs(filled.latency, path) / pathLatencyMs(whole.latency, path)).toBeCloseTo(1, 2)
  })

  test('leaves measured entries and a whole table as they are', () => {
    for (const [key, entry] of Object.entries(holes.entries)) expect(table.entries[key]).toBe(entry)
    expect(fillMissing(space, table).table).toBe(table)
  })

  test('says for each operation of the space whether it was predicted', () => {
    const part = predictedPart(space, table)
    expect(part).toMatchObject({ count: missing.length, rmseMs: expect.closeTo(fitPredictor(holes).fits[0]?.rmseMs ?? Number.NaN, 12) })
    for (const [b, block] of mbconvBlocks('proxyless-mobile').entries())
      for (const [j, { latencyKey: key }] of block.operations.entries())
        expect(part?.operations[b]?.[j]).toBe(key !== null && missing.includes(key))
    expect(predictedPart(space, makeTable())).toBeNull()
  })

  test('names what cannot be predicted, and why', () => {
    const [stem = '', ...others] = keys
    expect(fillMissing(space, makeTable(0, others)).refused).toEqual([
      { key: stem, reason: expect.stringContaining('0 measured entries of type Conv') },
    ])
  })
})

describe('an entry of a table', () => {
  const refusedAt = (entry: object) => {
    const parsed = latencyTableSchema.safeParse({ ...makeTable(), entries: { key: entry } })
    return parsed.success ? [] : parsed.error.issues.map(({ path }) => path.join('.'))
  }
  const predicted = { rmseMs: 1, mapePct: 2 }

  test('is measured in one run or more, or predicted and then in none', () => {
    expect(refusedAt({ meanMs: 1, stdMs: 0, count: 0, predicted })).toEqual([])
    expect(refusedAt({ meanMs: 1, stdMs: 0, count: 0 })).toEqual(['entries.key.count'])
    expect(refusedAt({ meanMs: 1, stdMs: 0, count: 3, predicted })).toEqual(['entries.key.count'])
  })
})

describe('F for blocks that choose their widths', () => {
  const coarse = { from: 1.5, to: 3, step: 1.5 }
  const rows = (step: number) => [
    { expansions: { from: 1, to: 1, step: 1 }, widths: { from: 8, to: 16, step }, blocks: 1, stride: 1 as const },
    {
      expansions: step === 8 ? coarse : { ...coarse, step: 0.5 },
      widths: { from: 16, to: 32, step: 2 * step },
      blocks: 2,
      stride: 2 as const,
    },
    {
      expansions: step === 8 ? coarse : { ...coarse, step: 0.5 },
      widths: { from: 24, to: 40, step: 2 * step },
      blocks: 2,
      stride: 2 as const,
    },
  ]
  const spaceOf = (step: number) => createSpace({ preset: 'fbnetv2-mini', input: [32, 32, 3], rows: rows(step) })

  /** Of what is counted in the layers themselves, not read off keys. */
  const device = ({ graph, macs }: MeasurableOperation) => {
    const layers = graph.layers as readonly PrimitiveLayer[]
    const values = (kind: string) =>
      layers
        .filter((layer) => layer.kind === kind)
        .reduce((sum, { shape: [height, width, channels] }) => sum + height * width * channels, 0)
    const kernel = Math.max(0, ...layers.map((layer) => (layer.kind === 'depthwiseConv2d' ? layer.kernel : 0)))
    const isSwish = layers.some((layer) => layer.kind === 'activation' && layer.activation === 'swish')
    return (
      0.01 +
      3e-8 * macs +
      (kernel === 5 ? 4e-7 : 2e-7) * values('depthwiseConv2d') +
      (isSwish ? 2e-7 : 5e-8) * values('activation') +
      2e-7 * (values('multiply') + values('splitAttention') + values('add'))
    )
  }
  const tableOf = (of: ReturnType<typeof createSpace>) =>
    latencyTableSchema.parse({
      name: 'widths',
      device: { name: 'paper' },
      runtime: { name: 'pencil' },
      inputShape: [...of.input],
      entries: Object.fromEntries(
        of.measurableOperations().map((operation) => [operation.latencyKey, { meanMs: device(operation), stdMs: 0, count: 9 }]),
      ),
    })

  test('completes a table that was measured for every second width and the outer expansions', () => {
    const [few, all] = [spaceOf(8), spaceOf(4)]
    const measured = tableOf(few)
    const { table, refused } = fillMissing(all, measured)
    expect(refused).toEqual([])
    const operations = all.measurableOperations()
    expect(operations.length).toBeGreaterThan(2 * Object.keys(measured.entries).length)
    const errors = operations.map((operation) => Math.abs((table.entries[operation.latencyKey]?.meanMs ?? 0) / device(operation) - 1))
    expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.03)
    expect(Math.max(...errors)).toBeLessThan(0.25)
  })
})
