// Files of latency tables: one conformance suite for every format, and what is particular to each.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { coverSpace, expectedLatencyMs } from '../../latency-lut/table/coverage.ts'
import { type FormatName, formatNames, formatOfFile, formats, TableFormatError } from '../../latency-lut/profiler/cli/formats/index.ts'
import { type LatencyEntry, type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, fixedParts, latencyKey, type LatencyOperation } from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

const description = {
  name: 'pixel',
  device: { name: 'Pixel 1', os: 'Android "8"' },
  runtime: { name: 'TF-Lite', version: '1, 2', threads: 1 },
  batch: 1,
  inputShape: [224, 224, 3] as [number, number, number],
  fixedMs: 0,
}

const size = fc.integer({ min: 1, max: 9999 })
const shape = fc.tuple(size, size, size)
const mbconv = fc.record({
  type: fc.constant('expanded_conv' as const),
  input: shape,
  output: shape,
  expand: size,
  kernel: size,
  stride: size,
  shortcut: fc.boolean(),
})
const operation: fc.Arbitrary<LatencyOperation> = fc.oneof(
  fc.record({ type: fc.constantFrom('Conv' as const, 'Conv_1' as const), input: shape, output: shape }),
  fc.record({ type: fc.constant('Logits' as const), input: shape, classes: size }),
  fc.record({ type: fc.constant('Projection' as const), input: shape, output: shape, stride: size }),
  mbconv,
)
const flag = fc.constantFrom(0, 1)
/** Keys of spaces, of tables for MobileNetV3 spaces, and of types that nobody here knows. */
const key = fc.oneof(
  operation.map(latencyKey),
  fc.tuple(mbconv, flag, flag).map(([value, se, hs]) => `${latencyKey(value)}-se:${se}-hs:${hs}`),
  fc
    .tuple(fc.constantFrom('AvgPool2D', 'Conv_2', 'feature_mix', 'constructor', 'null'), shape, size)
    .map(([type, input, output]) => `${type}-input:${input.join('x')}-output:${output}`),
)
const figure = fc.double({ min: 0, max: 1e9, noNaN: true })
const ms = figure.filter((value) => value > 0)
const entry: fc.Arbitrary<LatencyEntry> = fc.oneof(
  fc.record({ meanMs: ms, stdMs: figure, count: fc.integer({ min: 1, max: 1e6 }) }),
  fc.record({
    meanMs: ms,
    stdMs: fc.constant(0),
    count: fc.constant(0),
    predicted: fc.record({ rmseMs: figure, mapePct: figure }),
  }),
)
const table: fc.Arbitrary<LatencyTable> = fc
  .uniqueArray(fc.tuple(key, entry), { minLength: 1, maxLength: 12, selector: ([name]) => name })
  .map((entries) => latencyTableSchema.parse({ ...description, entries: Object.fromEntries(entries) }))

const STEM = 'Conv-input:224x224x3-output:112x112x32'
const BLOCK = 'expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0'
const HEADER = 'op,input_shape,output_shape,expand,kernel,stride,idskip,mean_ms,std_ms,count'

function problemsOf(format: FormatName, text: string): string[] {
  try {
    formats[format].read(text)
    return []
  } catch (error) {
    if (error instanceof TableFormatError) return error.problems.map(({ line, message }) => `${line}: ${message}`)
    throw error
  }
}

describe.each(formatNames)('a table in %s', (name) => {
  const { read, write, holdsDescription, extensions } = formats[name]
  const written = (entries: Record<string, Partial<LatencyEntry>>) =>
    write({ ...description, entries: entries as LatencyTable['entries'] }).split('\n')
  const good = { meanMs: 2, stdMs: 0.5, count: 9 }

  test('comes back as it was written', () => {
    fc.assert(
      fc.property(table, (value) => {
        const content = read(write(value))
        expect(content.entries).toEqual(value.entries)
        const { entries: _, ...rest } = value
        expect(content.description).toEqual(holdsDescription ? rest : {})
      }),
    )
  })

  test('keeps the order of its entries', () => {
    const entries = { [BLOCK]: good, [STEM]: good }
    expect(Object.keys(read(written(entries).join('\n')).entries)).toEqual([BLOCK, STEM])
  })

  test.each<[string, Partial<LatencyEntry>, RegExp]>([
    ['a negative mean', { meanMs: -2 }, /mean.*>0/],
    ['a mean of 0', { meanMs: 0 }, /mean.*>0/],
    ['a negative deviation', { stdMs: -1 }, /std.*>=0/],
    ['half a run', { count: 1.5 }, /count.*int/],
    ['no runs', { count: 0 }, /count.*1 run or more/],
  ])('with %s is refused with line and key', (_, change, message) => {
    const lines = written({ [STEM]: good, [BLOCK]: { ...good, ...change } })
    const line = lines.findIndex((text) => text.includes('expanded_conv')) + 1
    const [problem = '', ...others] = problemsOf(name, lines.join('\n'))
    expect(problem).toMatch(message)
    expect(problem.startsWith(`${line}: `)).toBe(true)
    expect(problem).toContain(BLOCK)
    expect(others).toEqual([])
  })

  test('with a key that is almost right is refused with line and key', () => {
    const lines = written({ [STEM]: good, [BLOCK.replace('idskip:0', 'idskip:2')]: good })
    const line = lines.findIndex((text) => text.includes('expanded_conv')) + 1
    expect(problemsOf(name, lines.join('\n'))).toEqual([
      expect.stringMatching(new RegExp(`^${line}: expected idskip to be 0 or 1.*${'idskip:2'}`)),
    ])
  })

  test('with every wrong line is refused with all of them', () => {
    const lines = written({ [STEM]: { ...good, meanMs: -1 }, [BLOCK]: { ...good, count: -1 } })
    expect(problemsOf(name, lines.join('\n'))).toHaveLength(2)
  })

  test('that is none is refused, not half read', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const problems = problemsOf(name, text)
        // An empty list of entries is for the table's own check to refuse.
        if (problems.length === 0) expect(read(text).entries).toEqual({})
      }),
    )
  })

  test('is told by the ending of its name', () => {
    for (const extension of extensions) expect(formatOfFile(`some.where/T.${extension.toUpperCase()}`)).toBe(name)
    expect(formatOfFile('table.txt')).toBeNull()
  })
})

describe('published YAML', () => {
  const space = createSpace('proxyless-mobile')
  const keys = space.measurableOperations().map(({ latencyKey: name }) => name)
  const meanOf = (name: string) => 0.25 + keys.indexOf(name) / 64
  const text = keys.map((name) => `${name}:\n  count: 125\n  mean: ${meanOf(name)}\n  var: 0.25\n`).join('')

  test('loads, covers proxyless-mobile, and its expected latency at uniform alpha is the weighted sum', () => {
    const loaded = latencyTableSchema.parse({ ...description, entries: formats.yaml.read(text).entries })
    const coverage = coverSpace(space, loaded)
    if (coverage.kind !== 'covered') throw new Error(coverage.keys.join())
    const uniform = space.decisions.map(({ options }) => options.map(() => 1 / options.length))
    const weightedSum = mbconvBlocks('proxyless-mobile').reduce(
      (sum, { operations }) =>
        sum + operations.reduce((part, { latencyKey: name }) => part + (name === null ? 0 : meanOf(name) / operations.length), 0),
      fixedParts(space).reduce((sum, part) => sum + meanOf(part.latencyKey as string), 0),
    )
    expect(expectedLatencyMs(coverage.latency, uniform)).toBeCloseTo(weightedSum, 10)
    expect(loaded.entries[keys[3] ?? '']).toEqual({ meanMs: meanOf(keys[3] ?? ''), stdMs: 0.5, count: 125 })
  })

  test('with expanded widths in channels and se and hs covers a space under those names too', () => {
    const renamed = text.replaceAll(
      /(expanded_conv-input:\d+x\d+x)(\d+)(-output:\S+-expand:)(\d+)(-\S+idskip:\d)/g,
      (_, start: string, channels: string, middle: string, ratio: string, end: string) =>
        `${start}${channels}${middle}${Number(channels) * Number(ratio)}${end}-se:0-hs:0`,
    )
    const { entries } = formats.yaml.read(renamed)
    expect(Object.keys(entries).filter((name) => name.endsWith('-se:0-hs:0'))).toHaveLength(67)
    const [plain, other] = [formats.yaml.read(text).entries, entries].map((each) =>
      coverSpace(space, latencyTableSchema.parse({ ...description, entries: each })),
    )
    expect(other).toEqual(plain)
  })

  test('with squeeze-and-excite or hard swish does not stand for the block without', () => {
    const name = keys.find((each) => each.includes('expand:6')) ?? ''
    const { entries } = formats.yaml.read(text)
    const { [name]: moved, ...rest } = entries
    const variant = `${name.replace('expand:6', 'expand:96')}-se:1-hs:0`
    const coverage = coverSpace(space, latencyTableSchema.parse({ ...description, entries: { ...rest, [variant]: moved } }))
    expect(coverage).toEqual({ kind: 'missing', keys: [name] })
  })

  test.each([
    [
      'a key twice',
      `${STEM}: {count: 1, mean: 1, std: 0}\n${STEM}: {count: 1, mean: 2, std: 0}\n`,
      [`2: ${STEM} is there twice, first in line 1`],
    ],
    ['a figure twice', `${STEM}: {count: 1, mean: 1, mean: 2, std: 0}`, [`1: mean is there twice (${STEM})`]],
    ['neither std nor var', `${STEM}: {count: 1, mean: 1}`, [`1: expected either std or var, got neither (${STEM})`]],
    ['a negative variance', `${STEM}: {count: 1, mean: 1, var: -1}`, [`1: var: expected a number from 0, got -1 (${STEM})`]],
    ['no mean', `\n\n${STEM}: {count: 1, std: 1}`, [`3: mean is missing (${STEM})`]],
    [
      'another figure',
      `${STEM}: {count: 1, mean: 1, std: 1, max: 2}`,
      [`1: unknown figure max; expected count, mean, and std or var (${STEM})`],
    ],
    ['a bare number', `${STEM}: 3`, [`1: expected count, mean and std of ${STEM}`]],
    ['a list', '- 1', ['1: expected a map from latency keys to count, mean and std']],
  ])('with %s is refused with the line', (_, wrong, problems) => expect(problemsOf('yaml', wrong)).toEqual(problems))

  test('cannot make one figure stand for many', () => {
    expect(problemsOf('yaml', `${STEM}: {count: 1, mean: &m 1, std: *m}`)).toEqual([expect.stringMatching(/^1: std/)])
  })
})

describe('CSV', () => {
  test('has the columns of the help, and the whole key where they cannot hold it', () => {
    const other = 'AvgPool2D-input:7x7x9-output:1x1x9'
    const good = { meanMs: 2, stdMs: 0.5, count: 9 }
    const projection = 'Projection-input:32x32x32-output:16x16x64-stride:2'
    const text = formats.csv.write({ ...description, entries: { [BLOCK]: good, [projection]: good, [other]: good } })
    expect(text.split('\n')).toEqual([
      HEADER,
      'expanded_conv,112x112x16,56x56x24,3,3,2,0,2,0.5,9',
      'Projection,32x32x32,16x16x64,,,2,,2,0.5,9',
      `${other},,,,,,,2,0.5,9`,
      '',
    ])
  })

  test('of a spreadsheet loads: byte order mark, CRLF, quotes, columns in another order', () => {
    const text =
      '\uFEFFcount,"op",input_shape,output_shape,expand,kernel,stride,idskip,mean_ms,std_ms\r\n9,"Conv","224x224x3",112x112x32,,,,,2,0.5\r\n\r\n'
    expect(formats.csv.read(text).entries).toEqual({ [STEM]: { meanMs: 2, stdMs: 0.5, count: 9 } })
  })

  const line = 'Conv,224x224x3,112x112x32,,,,,2,0.5,9'
  test.each([
    ['no header', line, /^1: unknown column "Conv"; expected op,input_shape/],
    ['a column too few', HEADER.replace(',std_ms', ''), /^1: no column std_ms/],
    ['a column twice', `${HEADER},op`, /^1: column op is there twice/],
    ['a cell too many', `${HEADER}\n${line},1`, /^2: expected 10 cells, got 11/],
    ['quotes that do not match', `${HEADER}\n"${line}`, /^2: quotes that do not match/],
    ['an operation twice', `${HEADER}\n${line}\n\n${line}`, /^4: .* is there twice, first in line 2/],
    ['no mean', `${HEADER}\n${line.replace(',2,', ',,')}`, /^2: mean_ms is missing/],
    ['a word for a number', `${HEADER}\n${line.replace(',2,', ',fast,')}`, /^2: mean_ms: .*expected number/],
  ])('with %s is refused with the line', (_, text, problem) => expect(problemsOf('csv', text)).toEqual([expect.stringMatching(problem)]))
})

describe('JSON', () => {
  const text = formats.json.write({ ...description, entries: { [STEM]: { meanMs: 2, stdMs: 0.5, count: 9 } } })

  test('with a member twice is refused with the line, at any depth', () => {
    expect(problemsOf('json', text.replace('"batch": 1', '"batch": 1,\n"batch": 2'))).toEqual([
      expect.stringMatching(/^13: "batch" is there twice/),
    ])
    expect(problemsOf('json', text.replace('"meanMs": 2', '"meanMs": 2, "meanMs": 3'))).toEqual([
      expect.stringMatching(/"meanMs" is there twice/),
    ])
  })

  test('with a wrong field is refused with line and field', () => {
    expect(problemsOf('json', text.replace('"threads": 1', '"threads": 0'))).toEqual([expect.stringMatching(/^10: runtime\.threads: /)])
    expect(problemsOf('json', text.replace('"batch": 1,', ''))).toEqual([])
    expect(problemsOf('json', `${text.slice(0, -4)}`)[0]).toMatch(/^\d+: not JSON/)
  })
})
