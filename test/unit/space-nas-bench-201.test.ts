import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  architectureCosts,
  createSpace,
  initialWeights,
  isAdditive,
  parseArchitecture,
  printArchitecture,
  SpaceError,
  weightKeys,
  weightOwners,
} from '../../search-space/index.ts'

const space = createSpace('nas-bench-201')
const RECORDED = new URL('../../../shared/benchmarks/nas-bench-201.csv', import.meta.url)

/** Multiply-accumulates in millions and parameters of all that every network has, and of one edge (Dong and Yang 2020, their code). */
const FIXED = { megaMacs: 7.943872, parameters: 73_306 }
const EDGES = [
  { megaMacs: 0, parameters: 0 },
  { megaMacs: 0, parameters: 0 },
  { megaMacs: 4.36224, parameters: 28_000 },
  { megaMacs: 35.81952, parameters: 243_040 },
  { megaMacs: 1.29024, parameters: 0 },
]

function* allPaths(): Generator<number[]> {
  for (let i = 0; i < 5 ** 6; i++) yield Array.from({ length: 6 }, (_, edge) => Math.floor(i / 5 ** edge) % 5)
}

describe('the preset nas-bench-201', () => {
  it('has six decisions of five options, each of which acts in fifteen cells', () => {
    expect(space.decisions.map(({ options }) => options.map(({ name }) => name))).toEqual(
      Array.from({ length: 6 }, () => ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3']),
    )
    expect(space.terms.slice(1).map(({ parts }) => parts.map((own) => own.length))).toEqual(
      Array.from({ length: 6 }, () => [15, 15, 15, 15, 15]),
    )
    expect(isAdditive(space)).toBe(true)
  })

  it('has the published costs in all 15,625 networks', () => {
    let networks = 0
    for (const path of allPaths()) {
      const { macs, parameters } = architectureCosts(space, path)
      const expected = path.reduce(
        (sum, option) => ({
          megaMacs: sum.megaMacs + (EDGES[option]?.megaMacs ?? Number.NaN),
          parameters: sum.parameters + (EDGES[option]?.parameters ?? Number.NaN),
        }),
        FIXED,
      )
      if (parameters !== expected.parameters || Math.abs(macs / 1e6 - expected.megaMacs) > 1e-9) {
        expect({ path, macs, parameters }).toEqual({ path, macs: expected.megaMacs * 1e6, parameters: expected.parameters })
      }
      networks += 1
    }
    expect(networks).toBe(15_625)
  })

  it.skipIf(!existsSync(RECORDED))('has the recorded costs of every row of the published table (../shared/benchmarks)', () => {
    const [header = '', ...rows] = readFileSync(RECORDED, 'utf8').trim().split('\n')
    const column = (name: string) => header.split(',').indexOf(name)
    const [ops, parameters, megaMacs] = [column('ops'), column('params_c10'), column('mflops_c10')]
    expect(rows).toHaveLength(15_625)
    for (const row of rows) {
      const fields = row.split(',')
      const path = [...(fields[ops] ?? '')].map(Number)
      const costs = architectureCosts(space, path)
      if (costs.parameters !== Number(fields[parameters]) || Math.abs(costs.macs / 1e6 - Number(fields[megaMacs])) > 5.1e-5) {
        expect({ row, ...costs }).toEqual({ row, parameters: Number(fields[parameters]), macs: Number(fields[megaMacs]) * 1e6 })
      }
    }
  })

  it('counts the parameters of the weights that a network reads', () => {
    for (const path of [
      [3, 3, 3, 3, 3, 3],
      [2, 1, 4, 0, 3, 2],
    ]) {
      const keys = new Set(weightKeys(space.network(path)))
      const read = space.weightSpecs.filter(({ key }) => keys.has(key))
      expect(read).toHaveLength(keys.size)
      const counted = read.reduce((sum, spec) => sum + initialWeights(spec, 1).length, 0)
      expect(counted).toBe(architectureCosts(space, path).parameters)
    }
  })

  it('writes and reads the architecture strings of its authors', () => {
    const text = 'nas-bench-201:|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|'
    expect(parseArchitecture(space, text)).toEqual([4, 2, 1, 2, 1, 1])
    expect(printArchitecture(space, [4, 2, 1, 2, 1, 1])).toBe(text)
    for (const path of allPaths()) {
      if (parseArchitecture(space, printArchitecture(space, path)).join() !== path.join()) expect(path).toBe('read as it was printed')
    }
  })

  it.each([
    ['nas-bench-201:|avg_pool_3x3~0|', 'expected an architecture of the form |none~0|+|none~0|none~1|'],
    ['nas-bench-201:|max~0|+|none~0|none~1|+|none~0|none~1|none~2|', 'for edge1.0, got "max" (architecture[0])'],
    ['nas-bench-201:|none~0|+|none~1|none~0|+|none~0|none~1|none~2|', 'expected an edge from node 0, got "none~1" (architecture[1])'],
    ['nas-bench:|none~0|', 'expected an architecture that starts with "nas-bench-201:"'],
  ])('says what is wrong with %s', (text, message) => {
    expect(() => parseArchitecture(space, text)).toThrow(message)
    expect(() => parseArchitecture(space, text)).toThrow(SpaceError)
  })

  it('gives the weights of an option to its decision, in every cell', () => {
    const owners = weightOwners(space)
    const own = [...owners].filter(([, { block, operation }]) => block === 4 && operation === 3)
    expect(own).toHaveLength(15 * 3)
    expect(owners.get('stage2.3/edge3.1/nor_conv_3x3.filter')).toEqual({ block: 4, operation: 3 })
    expect(owners.has('stem/conv.filter')).toBe(false)
  })

  it('has an entry for every key that its parts name, each once', () => {
    const keys = space.measurableOperations().map(({ latencyKey }) => latencyKey)
    const named = new Set(space.terms.flatMap(({ parts }) => parts.flat()).flatMap(({ latencyKey }) => latencyKey ?? []))
    expect(new Set(keys)).toEqual(named)
    expect(keys).toHaveLength(named.size)
    expect(keys).toContain('ReluConvNorm-input:16x16x32-output:16x16x32-kernel:3-stride:1')
    // Stem, two residual blocks, head, and three kinds of edge at three sizes.
    expect(keys).toHaveLength(4 + 9)
  })

  it.each([
    [{ operations: ['none', 'none'] }, 'expected different operations'],
    [{ input: [30, 30, 3] }, 'expected sides that can be halved 2 times'],
  ] as const)('refuses settings that contradict each other: %j', (changes, message) => {
    expect(() => createSpace({ preset: 'nas-bench-201', ...changes } as never)).toThrow(message)
  })
})
