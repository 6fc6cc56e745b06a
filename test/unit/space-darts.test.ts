import { describe, expect, it } from 'vitest'
import type { SearchConfigInput } from '../../protocol/index.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  elementCount,
  evenProbabilities,
  isAdditive,
  mostProbablePaths,
  parseArchitecture,
  printArchitecture,
  randomPath,
  seedState,
  SpaceError,
  weightKeys,
  weightOwners,
} from '../../search-space/index.ts'
import { darts } from '../../strategies/darts.ts'
import { makeContext } from '../fixtures/searches.ts'

const space = createSpace('darts')
const mini = createSpace('darts-mini')

/** genotypes.py of the authors' code. */
const DARTS_V1 =
  "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
const DARTS_V2 =
  "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
const V2 =
  'normal=|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|sep_conv_3x3~1|+|skip_connect~0|sep_conv_3x3~1|+|skip_connect~0|dil_conv_3x3~2|;' +
  'reduce=|max_pool_3x3~0|max_pool_3x3~1|+|max_pool_3x3~1|skip_connect~2|+|max_pool_3x3~0|skip_connect~2|+|max_pool_3x3~1|skip_connect~2|'

const options = ['none', 'max_pool_3x3', 'avg_pool_3x3', 'skip_connect', 'sep_conv_3x3', 'sep_conv_5x5', 'dil_conv_3x3', 'dil_conv_5x5']

describe('the preset darts', () => {
  it('has fourteen edges of eight operations in each of two cells', () => {
    expect(space.decisions.map(({ options: own }) => own.map(({ name }) => name))).toEqual(Array.from({ length: 28 }, () => options))
    expect(space.decisions.map(({ name }) => name).slice(12, 16)).toEqual([
      'normal.edge5.3',
      'normal.edge5.4',
      'reduce.edge2.0',
      'reduce.edge2.1',
    ])
    // Six normal cells and two that halve.
    expect(space.terms.slice(1).map(({ parts }) => parts[0]?.length)).toEqual([...Array(14).fill(6), ...Array(14).fill(2)])
    expect(isAdditive(space)).toBe(true)
  })

  it.each([
    // 3.3 M in the paper, table 1; to the parameter what the authors' train.py prints without the auxiliary head: 3.349342 MB.
    ['DARTS_V2', DARTS_V2, 3_349_342],
    // 3.3 M there as well.
    ['DARTS_V1', DARTS_V1, 3_169_414],
  ])('has the published parameters of %s at 36 channels and 20 cells', (_, genotype, parameters) => {
    const derived = createSpace('darts-cifar10')
    const path = parseArchitecture(derived, `darts-cifar10:${genotype}`)
    expect(architectureCosts(derived, path).parameters).toBe(parameters)
  })

  it('writes and reads genotypes, its own and those of the authors', () => {
    const path = parseArchitecture(space, `darts:${DARTS_V2}`)
    expect(printArchitecture(space, path)).toBe(`darts:${V2}`)
    expect(parseArchitecture(space, `darts:${V2}`)).toEqual(path)
    const published = space.encoding.publish?.(path) ?? ''
    expect(published).toContain("normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0)")
    expect(parseArchitecture(space, `darts:${published}`)).toEqual(path)
    expect(parseArchitecture(space, `darts:${published.replaceAll('[2, 3, 4, 5]', 'range(2, 6)')}`)).toEqual(path)
    const random = createRandom(seedState('darts', 1))
    for (let i = 0; i < 50; i++) {
      const drawn = randomPath(space, random)
      expect(parseArchitecture(space, printArchitecture(space, drawn))).toEqual(drawn)
      // Not two inputs for every node.
      expect(space.encoding.publish?.(drawn)).toBeNull()
    }
    const empty = space.decisions.map(() => 0)
    expect(printArchitecture(space, empty)).toBe('darts:normal=|+|+|+|;reduce=|+|+|+|')
    expect(parseArchitecture(space, printArchitecture(space, empty))).toEqual(empty)
  })

  it.each([
    ['darts:normal=|sep_conv_3x3~0|', 'expected normal=|operation~input|operation~input|+… with 4 nodes'],
    [`darts:${V2.replace('skip_connect~0', 'skip~0')}`, 'for normal.edge4.0, got "skip" (architecture[5])'],
    [`darts:${V2.replace('dil_conv_3x3~2', 'dil_conv_3x3~5')}`, 'expected inputs of node 5 of the normal cell to be 0 to 4, got 5'],
    [
      `darts:${V2.replace('|sep_conv_3x3~0|sep_conv_3x3~1|', '|sep_conv_3x3~0|sep_conv_3x3~0|')}`,
      'node 2 of the normal cell reads 0 twice',
    ],
    [`darts:${DARTS_V2.replace("('skip_connect', 0), ", '')}`, 'two inputs for each of 4 nodes, got 7 inputs'],
    [`darts:${DARTS_V2.replace('[2, 3, 4, 5]', '[4, 5]')}`, 'expected normal_concat to be all nodes, 2, 3, 4, 5, got normal_concat=[4, 5]'],
  ])('says what is wrong with %s', (text, message) => {
    expect(() => parseArchitecture(space, text)).toThrow(message)
    expect(() => parseArchitecture(space, text)).toThrow(SpaceError)
  })

  it('derives two inputs for every node, by the strongest operation that is not none', () => {
    const probabilities = evenProbabilities(space)
    // Node 3 of the normal cell has edges 2, 3, 4. None is the most probable option of all of them.
    probabilities[2] = [0.6, 0.05, 0.05, 0.2, 0.1, 0, 0, 0]
    probabilities[3] = [0.9, 0.03, 0.07, 0, 0, 0, 0, 0]
    probabilities[4] = [0.5, 0, 0, 0, 0.1, 0.3, 0.1, 0]
    const [best] = mostProbablePaths(space.derivable?.(probabilities) ?? [], 1)
    expect(best?.path.slice(2, 5)).toEqual([3, 0, 5])
    // Of equals the first edges, and the first operation.
    expect(best?.path.slice(0, 2)).toEqual([1, 1])
    expect(best?.path.slice(5, 9)).toEqual([1, 1, 0, 0])
    expect(space.encoding.publish?.(best?.path ?? [])).toContain(
      "normal=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 0), ('sep_conv_5x5', 2)",
    )
  })

  it('is derived so by searches, within their bounds too', () => {
    const initialAlpha = mini.decisions.map(({ options: own }, edge) =>
      own.map(({ name }) => (name === 'none' ? 5 : name === 'sep_conv_5x5' ? (edge + 1) / 10 : 0)),
    )
    const kept = ["('sep_conv_5x5', 0)", "('sep_conv_5x5', 1)", "('sep_conv_5x5', 1)", "('sep_conv_5x5', 2)"].join(', ')
    const derive = (bounds?: SearchConfigInput['bounds']) => {
      const context = makeContext({ space: 'darts-mini', targetMs: 500, bounds, strategy: { name: 'darts', initialAlpha } })
      return darts.derive(darts.init(context), context)
    }
    const free = derive()
    expect(mini.encoding.publish?.(free)).toContain(`normal=[${kept}`)
    const { macs } = architectureCosts(mini, free)
    const bound = derive([{ cost: 'macs', atMost: 0.9 * macs }])
    expect(architectureCosts(mini, bound).macs).toBeLessThanOrEqual(0.9 * macs)
    // Still two inputs for every node.
    expect(mini.encoding.publish?.(bound)).not.toBeNull()
  })

  it('counts the parameters of the weights that a network reads, and gives those of an option to its decision in every cell', () => {
    const random = createRandom(seedState('darts', 2))
    const path = randomPath(mini, random)
    const keys = new Set(weightKeys(mini.network(path)))
    const read = mini.weightSpecs.filter(({ key }) => keys.has(key))
    expect(read).toHaveLength(keys.size)
    expect(read.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(architectureCosts(mini, path).parameters)
    const owners = weightOwners(mini)
    expect(owners.get('cell1/edge3.2/sep_conv_5x5/a.pointwise.filter')).toEqual({ block: 4, operation: 5 })
    expect(owners.get('cell2/edge2.0/skip_connect/conv_2.filter')).toEqual({ block: 14, operation: 3 })
    expect(owners.get('cell3/edge2.0/skip_connect/conv_2.filter')).toEqual({ block: 14, operation: 3 })
    expect(owners.has('cell3/input0/reduce.gamma')).toBe(false)
  })

  it('has an entry for every key that its parts name, each once', () => {
    const keys = mini.measurableOperations().map(({ latencyKey }) => latencyKey)
    const named = new Set(mini.terms.flatMap(({ parts }) => parts.flat()).flatMap(({ latencyKey }) => latencyKey ?? []))
    expect(new Set(keys)).toEqual(named)
    expect(keys).toHaveLength(named.size)
    expect(keys).toContain('DilConv-input:28x28x16-output:14x14x16-kernel:5-stride:2')
    expect(keys).toContain('FactorizedReduce-input:28x28x32-output:14x14x32')
  })

  it.each([
    [{ operations: ['skip_connect', 'max_pool_3x3'] }, 'expected different operations with none among them'],
    [{ width: 15 }, 'expected an even number of channels, got 15'],
    [{ input: [30, 32, 3] }, 'expected sides that can be halved twice, got 30×32×3'],
  ] as const)('refuses settings that contradict each other: %j', (changes, message) => {
    expect(() => createSpace({ preset: 'darts', ...changes } as never)).toThrow(message)
  })
})
