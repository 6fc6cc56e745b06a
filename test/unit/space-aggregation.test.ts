import { describe, expect, it } from 'vitest'
import {
  architectureCosts,
  createRandom,
  createSpace,
  elementCount,
  isAdditive,
  networkWeights,
  parseArchitecture,
  type Path,
  peakActivationBytes,
  printArchitecture,
  randomPath,
  seedState,
  SpaceError,
  type SpaceRef,
  weightKeys,
  weightOwners,
} from '../../search-space/index.ts'
import { partsOf } from '../../search-space/space.ts'

const mini = createSpace('aggregation-mini')
const MINI = 'aggregation-mini:stage1=|+|concat~0|sum~1|+|sum~0|+|concat~1|;stage2=|concat~0|+|+|sum~2|+|'

/** What the convolutions of a network read, in channels, by the layer's name. */
function channelsRead(ref: SpaceRef): Map<string, number> {
  const { layers } = createSpace(ref).network([0])
  const shapes = new Map(layers.map(({ id, shape }) => [id, shape]))
  return new Map(layers.flatMap((layer) => (layer.kind === 'conv2d' ? [[layer.id, shapes.get(layer.input)?.[2] ?? 0]] : [])))
}

const parametersOf = (ref: SpaceRef) => architectureCosts(createSpace(ref), [0]).parameters

describe('the published networks', () => {
  it.each([
    // Of the authors' src/pytorch/denselink.py, for 100 classes; in the table of its README 1.1M, 0.76M, 5.65M, 7.22M
    // and, with bottlenecks, 1.46M.
    ['densenet-40-12', 100, 1_100_428],
    ['sparsenet-40-24', 100, 735_676],
    ['sparsenet-100-24', 100, 2_490_364],
    ['sparsenet-100-36', 100, 5_574_520],
    ['sparsenet-100-16-32-64', 100, 7_203_700],
    ['sparsenet-bc-100-24', 100, 1_448_716],
    // 7.0M and 0.8M in table 2 of Huang et al. 2017; the latter is 769,162 in public implementations.
    ['densenet-100-12', 10, 7_083_538],
    ['densenet-bc-100-12', 10, 769_162],
  ] as const)('%s with %i classes has %i parameters', (preset, classes, parameters) => {
    expect(parametersOf({ preset, classes })).toBe(parameters)
    const space = createSpace({ preset, classes })
    expect(space.weightSpecs.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(parameters)
    expect(space.encoding.print([0])).toBe('whole')
  })

  it('read all outputs of their stage, those 1, 2, 4, 8 before, or the sum of all', () => {
    const [dense, sparse, residual] = [
      channelsRead('densenet-40-12'),
      channelsRead('sparsenet-40-24'),
      channelsRead('residual-40-16-32-64'),
    ]
    expect([1, 2, 3, 12].map((unit) => dense.get(`stage1.unit${unit}/conv`))).toEqual([24, 36, 48, 156])
    expect(dense.get('transition1/conv')).toBe(168)
    expect([1, 2, 3, 4, 8, 9].map((unit) => sparse.get(`stage1.unit${unit}/conv`))).toEqual([1, 2, 2, 3, 4, 4].map((n) => 24 * n))
    expect(sparse.get('stage2.unit1/conv')).toBe(96)
    expect([1, 2, 12].map((unit) => residual.get(`stage2.unit${unit}/conv`))).toEqual([32, 32, 32])
  })

  it('add what they add once: one addition for each unit of a residual network', () => {
    const space = createSpace('residual-40-16-32-64')
    const additions = (ids: readonly string[]) => ids.filter((id) => id.includes('/sum')).length
    expect(additions(space.network([0]).layers.map(({ id }) => id))).toBe(3 * 12)
    expect(additions(partsOf(space, [0]).map(({ name }) => name))).toBe(3 * 12)
    // Unit 3 reads 2 + 1, unit 4 reads 3 + 2 + 0, unit 5 reads 4 + 3 + 1, what follows reads 5 + 4 + 2; sums are in the order of outputs.
    const sparse = createSpace({ preset: 'residual-40-16-32-64', sources: 'exponential', stages: [{ width: 8, units: 5, growth: 8 }] })
    expect(additions(sparse.network([0]).layers.map(({ id }) => id))).toBe(1 + 1 + 2 + 2 + 2)
    expect(additions(partsOf(sparse, [0]).map(({ name }) => name))).toBe(1 + 1 + 2 + 2 + 2)
  })

  it('have bottlenecks of four times the growth', () => {
    const layers = createSpace('densenet-bc-100-12').network([0]).layers
    expect(layers.find(({ id }) => id === 'stage1.unit1/conv')).toMatchObject({ kind: 'conv2d', kernel: 1, shape: [32, 32, 48] })
    expect(layers.find(({ id }) => id === 'stage1.unit1/inner/conv')).toMatchObject({ kind: 'conv2d', kernel: 3, shape: [32, 32, 12] })
    // (24 + 16 · 12) / 2.
    expect(layers.find(({ id }) => id === 'transition1/conv')).toMatchObject({ kernel: 1, shape: [32, 32, 108] })
  })
})

describe('a space of what is read', () => {
  it('has a decision for every layer and earlier output but the one just before it', () => {
    const edgesOf = (space: typeof mini) => space.decisions.flatMap(({ name }) => (name.startsWith('stage1.edge') ? [name.slice(11)] : []))
    expect(edgesOf(mini)).toEqual(['2.0', '3.0', '3.1', '4.0', '4.1', '4.2', '5.0', '5.1', '5.2', '5.3'])
    expect(mini.decisions).toHaveLength(20)
    for (const { options } of mini.decisions) expect(options.map(({ name }) => name)).toEqual(['none', 'sum', 'concat'])
    expect(isAdditive(mini)).toBe(true)
    expect(createSpace('aggregation-40-24').decisions).toHaveLength(3 * (66 + 12))
    const exponential = createSpace({ preset: 'aggregation-mini', sources: 'exponential' })
    expect(edgesOf(exponential)).toEqual(['2.0', '3.1', '4.0', '4.2', '5.1', '5.3'])
  })

  it('adds outputs only where they have as many channels, and has no decision where one option is left', () => {
    const space = createSpace({ preset: 'aggregation-mini', stages: [{ width: 8, units: 3, growth: 12 }] })
    expect(space.decisions[0]?.options.map(({ name }) => name)).toEqual(['none', 'concat'])
    expect(space.decisions[2]?.options.map(({ name }) => name)).toEqual(['none', 'sum', 'concat'])
    const sums = createSpace({ preset: 'aggregation-mini', stages: [{ width: 8, units: 3, growth: 12 }], aggregations: ['none', 'sum'] })
    expect(sums.decisions.map(({ name }) => name)).toEqual(['stage1.edge3.1', 'stage1.edge4.1', 'stage1.edge4.2'])
  })

  it('writes and reads architectures', () => {
    const path = parseArchitecture(mini, MINI)
    expect(path.slice(0, 10)).toEqual([0, 2, 1, 1, 0, 0, 0, 2, 0, 0])
    expect(printArchitecture(mini, path)).toBe(MINI)
    const random = createRandom(seedState('aggregation', 1))
    for (let i = 0; i < 50; i++) {
      const drawn = randomPath(mini, random)
      expect(parseArchitecture(mini, printArchitecture(mini, drawn))).toEqual(drawn)
    }
    const forced = createSpace({ preset: 'aggregation-mini', aggregations: ['sum', 'concat'] })
    const drawn = randomPath(forced, random)
    expect(parseArchitecture(forced, printArchitecture(forced, drawn))).toEqual(drawn)
    expect(() => parseArchitecture(forced, MINI.replace('mini', 'mini-custom'))).toThrow(
      'expected one of sum, concat for stage1.edge2.0, got "none"',
    )
  })

  it.each([
    ['stage1=|+|+|', 'expected an architecture of the form stage1=|concat~0|+|concat~0|concat~1|+'],
    [MINI.slice(17).replace('stage2', 'stage3'), 'expected an architecture of the form'],
    [MINI.slice(17).replace('concat~0', 'product~0'), 'expected one of none, sum, concat for stage1.edge3.0, got "product"'],
    [MINI.slice(17).replace('sum~2', 'sum~3'), 'stage2.unit4 chooses what it makes of 0, 1, 2, got 3'],
    [MINI.slice(17).replace('sum~1', 'sum~0'), 'stage1.unit3 reads 0 twice'],
  ])('says what is wrong with %s', (text, message) => {
    expect(() => parseArchitecture(mini, `aggregation-mini:${text}`)).toThrow(message)
    expect(() => parseArchitecture(mini, `aggregation-mini:${text}`)).toThrow(SpaceError)
  })

  it('gives each pair of output and layer weights of its own, which belong to their option', () => {
    const owners = weightOwners(mini)
    const filter = mini.weightSpecs.find(({ key }) => key === 'stage2.unit4/from1/conv.filter')
    expect(filter?.shape).toEqual([3, 3, 24, 24])
    expect(owners.get('stage2.unit4/from1/conv.filter')).toEqual({ block: 14, operation: 2 })
    expect(mini.decisions[14]?.name).toBe('stage2.edge4.1')
    expect(owners.get('last/from3/conv.gamma')).toEqual({ block: 19, operation: 2 })
    expect(owners.has('stage2.unit4/conv.filter')).toBe(false)
  })

  it.each([false, true])('counts the parameters of the weights that a network reads, with bottlenecks: %s', (bottleneck) => {
    const space = createSpace({ preset: 'aggregation-mini', bottleneck })
    const random = createRandom(seedState('aggregation', 2))
    const known = new Set(space.weightSpecs.map(({ key }) => key))
    expect(known.size).toBe(space.weightSpecs.length)
    const all: Path = space.decisions.map(() => 2)
    expect(new Set(weightKeys(space.network(all)))).toEqual(known)
    for (const path of [all, space.decisions.map(() => 1), ...Array.from({ length: 5 }, () => randomPath(space, random))]) {
      const weights = [...networkWeights(space.network(path)).values()]
      expect(weights.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(architectureCosts(space, path).parameters)
    }
  })

  it('has the costs of the network that reads the same, in which nothing is chosen', () => {
    const settings = { preset: 'aggregation-mini', name: 'same' } as const
    const chosen = createSpace(settings)
    const peaks = (['none', 'sum', 'concat'] as const).map((aggregation, option) => {
      const settled = createSpace({ ...settings, aggregations: [aggregation] })
      const path = chosen.decisions.map(() => option)
      expect(architectureCosts(settled, [0])).toEqual(architectureCosts(chosen, path))
      const peak = peakActivationBytes(settled.network([0]))
      expect(peakActivationBytes(chosen.network(path))).toBe(peak)
      return peak
    })
    // Five images of 14×14×12 are concatenated for the transition.
    expect(peaks[2]).toBeGreaterThan(peaks[1] as number)
  })

  it('has an entry for every key that its parts name, each once', () => {
    for (const space of [mini, createSpace('sparsenet-100-16-32-64'), createSpace('residual-40-16-32-64')]) {
      const keys = space.measurableOperations().map(({ latencyKey }) => latencyKey)
      const named = new Set(space.terms.flatMap(({ parts }) => parts.flat()).flatMap(({ latencyKey }) => latencyKey ?? []))
      expect(new Set(keys)).toEqual(named)
      expect(keys).toHaveLength(named.size)
    }
    expect(mini.measurableOperations().map(({ latencyKey }) => latencyKey)).toEqual([
      'PlainConv-input:28x28x1-output:14x14x12-kernel:3-stride:2',
      'NormReluConv-input:14x14x12-output:14x14x12-kernel:3-stride:1',
      'Add-input:14x14x12-output:14x14x12',
      'NormReluConv-input:14x14x12-output:14x14x24-kernel:1-stride:1',
      'AvgPool-input:14x14x24-output:7x7x24-kernel:2-stride:2',
      'NormReluConv-input:7x7x24-output:7x7x24-kernel:3-stride:1',
      'Add-input:7x7x24-output:7x7x24',
      'NormReluConv-input:7x7x24-output:7x7x64-kernel:1-stride:1',
      'NormLogits-input:7x7x64-output:10',
    ])
    const dense = createSpace('densenet-bc-100-12').measurableOperations()
    expect(dense.map(({ latencyKey }) => latencyKey)).toContain('Concat-input:32x32x18-output:32x32x36')
  })

  it.each([
    [{ aggregations: ['sum', 'sum'] }, 'expected different aggregations, got sum, sum (space.aggregations)'],
    [{ input: [30, 32, 3] }, 'expected sides that can be divided by 4, got 30×32×3 (space.input)'],
    [{ headWidth: null }, 'expected a number of channels where it is chosen what is concatenated, got null (space.headWidth)'],
    [
      { aggregations: ['sum'], stages: [{ width: 8, units: 2, growth: 12 }] },
      'expected a width equal to the growth where outputs are added, got 8 and 12 (space.stages[0])',
    ],
  ] as const)('refuses settings that contradict each other: %j', (changes, message) => {
    expect(() => createSpace({ preset: 'aggregation-mini', ...changes } as never)).toThrow(message)
  })

  it('needs no width of a head where outputs are added at most', () => {
    const space = createSpace({ preset: 'aggregation-mini', aggregations: ['none', 'sum'], headWidth: null })
    const path = space.decisions.map(() => 1)
    expect(space.network(path).layers.at(-1)).toMatchObject({ kind: 'linear', shape: [1, 1, 10] })
    expect(() => space.network(path.with(0, 2))).toThrow('expected an option from 0 to 1 of stage1.edge2.0, got 2')
    expect(() => space.network([{ active: 0, inactive: [2] }, ...path.slice(1)])).toThrow('from 0 to 1 of stage1.edge2.0, got 2')
  })
})
