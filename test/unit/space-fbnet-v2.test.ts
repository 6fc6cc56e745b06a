import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coverSpace, expectedLatencyMs, pathLatencyMs } from '../../latency-lut/table/coverage.ts'
import { parseLatencyKey } from '../../latency-lut/table/keys.ts'
import {
  architectureCosts,
  commonWeights,
  createRandom,
  createSpace,
  elementCount,
  joinWeights,
  latencyKey,
  networkWeights,
  parseArchitecture,
  type Path,
  presetNames,
  printArchitecture,
  randomPath,
  resolveSpaceConfig,
  seedState,
  sliceBegin,
  type Space,
  SpaceError,
  type SpaceRef,
} from '../../search-space/index.ts'
import { findStrategy } from '../../strategies/index.ts'
import { groupsByPlace } from '../../strategies/joint-distribution.ts'
import { totalCosts } from '../../search-space/layer-costs.ts'
import type { PrimitiveLayer } from '../../search-space/layer-graph.ts'
import { makeContext, makeTable } from '../fixtures/searches.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'

const entropyOf = ({ decisions }: Space) => decisions.reduce((sum, { options }) => sum + Math.log(options.length), 0)

/** [place][options of each of its decisions] */
function optionCounts(space: Space): number[][] {
  const places = new Map<string, number[]>()
  for (const { name, options } of space.decisions) {
    const place = name.slice(0, name.lastIndexOf('.'))
    places.set(place, [...(places.get(place) ?? []), options.length])
  }
  return [...places.values()]
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
const product = (values: readonly number[]) => values.reduce((total, value) => total * value, 1)

function paths(space: Space, count: number): number[][] {
  const random = createRandom(seedState('paths', space.name))
  return Array.from({ length: count }, () => randomPath(space, random))
}

/** All of them, within these options. */
function allPaths(options: readonly (readonly number[])[]): number[][] {
  return options.reduce<number[][]>((found, own) => found.flatMap((path) => own.map((option) => [...path, option])), [[]])
}

const presets = presetNames.filter((name) => 'family' in resolveSpaceConfig(name) && 'choices' in resolveSpaceConfig(name))
/** Choices of each block, and of a row of two blocks; a row whose first block begins with the width of another. */
const SMALL: readonly SpaceRef[] = [SLICED_SPACE, { ...SLICED_SPACE, choices: 'block' as const, splits: [0, 2] }]

describe('the published spaces', () => {
  it('FBNetV2-F has an entropy of 56.3 nats, 177 logits as factors and 3,624 as tuples', () => {
    const space = createSpace('fbnetv2-f')
    const counts = optionCounts(space)
    expect(entropyOf(space)).toBeCloseTo(56.3, 1)
    expect(sum(counts.map(sum))).toBe(177)
    expect(sum(counts.map(product))).toBe(3624)
    // λ = 0.25 of FP-NAS: 14 samples at the start.
    expect(Math.round(entropyOf(space) / 4)).toBe(14)
  })

  it('FBNetV2-F-Fine, whose blocks choose for themselves, has an entropy of 98.5 nats over 17 blocks', () => {
    const space = createSpace('fbnetv2-f-fine')
    expect(entropyOf(space)).toBeCloseTo(98.5, 1)
    expect(optionCounts(space)).toHaveLength(17)
  })

  it('FP-NAS-L0 has 27 blocks and 2e32 networks', () => {
    const space = createSpace('fp-nas-l0')
    const config = resolveSpaceConfig('fp-nas-l0')
    expect('rows' in config && sum(config.rows.map(({ blocks }) => blocks))).toBe(27)
    expect(Math.exp(entropyOf(space)) / 1e32).toBeCloseTo(2, 0)
  })

  it.each(presets)('%s: costs are those of the network, each key is measurable, architectures are read as they are printed', (name) => {
    const space = createSpace(name)
    const measurable = new Map(space.measurableOperations().map((operation) => [operation.latencyKey, operation]))
    const whole = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
    for (const path of paths(space, 10)) {
      const graph = space.network(path)
      expect(architectureCosts(space, path)).toEqual(totalCosts(graph.layers as readonly PrimitiveLayer[]))
      expect(parseArchitecture(space, printArchitecture(space, path))).toEqual(path)
      for (const [key, { shape }] of networkWeights(graph)) expect(sliceBegin(whole.get(key)?.shape ?? [], shape), key).not.toBeNull()
    }
    const parts = new Map(space.terms.flatMap((term) => term.parts.flat()).map((part) => [part.latencyKey, part]))
    expect([...parts.keys()].toSorted()).toEqual([...measurable.keys()].toSorted())
    const others = [...parts].filter(([key, { macs, parameters }]) => {
      const operation = measurable.get(key ?? '')
      return operation?.macs !== macs || operation.parameters !== parameters
    })
    expect(others).toEqual([])
    expect([...measurable.keys()].filter((key) => latencyKey(parseLatencyKey(key)) !== key)).toEqual([])
  })
})

describe('a block', () => {
  const space = createSpace({ ...SLICED_SPACE, splits: [0, 1, 2, 4], kernels: [0, 3, 5], name: 'block', activations: ['swish'] })
  const of = (text: string) => space.network(parseArchitecture(space, `block:${text}`))
  const kinds = (text: string, prefix: string) =>
    of(text).layers.flatMap(({ id, kind }) =>
      id.startsWith(prefix) ? [kind === 'conv2d' || kind === 'depthwiseConv2d' ? 'conv' : kind] : [],
    )

  it('is an inverted residual', () => {
    expect(kinds('k3-swish-s0-e2-c8', 'row1.2/')).toEqual([
      'conv',
      'batchNorm',
      'activation',
      'conv',
      'batchNorm',
      'activation',
      'conv',
      'batchNorm',
      'add',
    ])
    // Without expansion there is no convolution for it.
    expect(kinds('k3-swish-s0-e1-c8', 'row1.2/expand')).toEqual([])
  })

  it.each([1, 2, 4])('with attention over %i depthwise convolutions has the weights of a squeeze and of as many excitations', (splits) => {
    const [plain, attended] = [of('k5-swish-s0-e2-c8'), of(`k5-swish-s${splits}-e2-c8`)].map(networkWeights)
    const count = (weights: typeof plain) => sum([...(weights?.values() ?? [])].map(({ shape }) => elementCount(shape)))
    // 16 channels, 4 within the attention; two blocks, each convolution beyond the first with its batch-norm.
    const attention = 16 * 4 + 4 + splits * (4 * 16 + 16)
    expect(count(attended) - count(plain)).toBe(2 * (attention + (splits - 1) * (25 * 16 + 2 * 16)))
    expect(kinds(`k5-swish-s${splits}-e2-c8`, 'row1.1/attention.product')).toEqual([splits === 1 ? 'multiply' : 'splitAttention'])
  })

  it('that is skipped is nothing where its shape stays, else a 1×1 convolution', () => {
    expect(kinds('skip-swish-s0-e2-c12', 'row1.1/')).toEqual(['conv', 'batchNorm'])
    expect(kinds('skip-swish-s0-e2-c12', 'row1.2/')).toEqual([])
  })

  it('has no gates', () => {
    const choices = space.decisions.map((_, index) => (index === 0 ? { active: 1, inactive: [0] } : 0))
    expect(() => space.network(choices)).toThrow('decision row1.kernel has no gates: its options change the shapes of what follows')
  })

  it.each(['proxyless-g', 'darts', 'one-shot'] as const)('cannot run its options side by side: %s is refused', (name) => {
    const { config, ...rest } = makeContext({ space: SLICED_SPACE, strategy: { name } })
    // A target that every architecture keeps, so that nothing else is wrong.
    const context = { ...rest, config: { ...config, latency: { ...config.latency, targetMs: 1000 } } }
    expect(() => findStrategy(name).init(context)).toThrow('expected a strategy that takes one option of each decision')
  })

  it('can be searched by strategies that take one option of each decision, those of a place together as well', () => {
    const context = makeContext({ space: SLICED_SPACE, targetMs: 100, strategy: { name: 'fp-nas', jointFrom: 0.5 } })
    expect(() => findStrategy('fp-nas').init(context)).not.toThrow()
    const groups = groupsByPlace(createSpace('fbnetv2-f'), 'strategy.jointFrom')
    expect(groups).toHaveLength(10)
  })
})

describe('weights that options share', () => {
  it.each(SMALL)('are, within any options, the largest parts that their networks read', (ref) => {
    const space = createSpace(ref)
    const some = fc.tuple(...space.decisions.map(({ options }) => fc.subarray([...options.keys()], { minLength: 1 })))
    fc.assert(
      fc.property(some, (options) => {
        const expected = joinWeights(allPaths(options).flatMap((path) => [...networkWeights(space.network(path)).values()]))
        const found = new Map(space.weightsWithin?.(options).map((spec) => [spec.key, spec]))
        expect([...found.keys()].toSorted()).toEqual([...expected.keys()].toSorted())
        for (const [key, { shape }] of expected) expect(found.get(key)?.shape, key).toEqual(shape)
      }),
      { numRuns: 30 },
    )
  })

  it.each(SMALL)('are all of the space with all options, each said to be sliced where a network reads a part of it', (ref) => {
    const space = createSpace(ref)
    const all = space.decisions.map(({ options }) => [...options.keys()])
    const networks = allPaths(all).map((path) => networkWeights(space.network(path)))
    const sizes = new Map(space.weightSpecs.map(({ key, shape }) => [key, elementCount(shape)]))
    const partlyRead = new Set(
      networks.flatMap((weights) =>
        [...weights.values()].flatMap(({ key, shape }) => (elementCount(shape) < (sizes.get(key) ?? 0) ? [key] : [])),
      ),
    )
    for (const { key, sliced } of space.weightSpecs) if (partlyRead.has(key)) expect(sliced, key).toBe(true)
    const common = [...sizes.keys()].filter((key) => networks.every((weights) => weights.has(key)))
    expect([...commonWeights(space)].toSorted()).toEqual(common.toSorted())
  })
})

describe('latency', () => {
  it('depends on the width before; its expectation is the mean over all networks', () => {
    const space = createSpace({ ...SLICED_SPACE, choices: 'block', splits: [0, 1], activations: ['relu'] })
    const covered = coverSpace(space, makeTable(space))
    if (covered.kind !== 'covered') throw new Error(covered.keys.join())
    const random = createRandom(seedState('latency'))
    const probabilities = space.decisions.map(({ options }) => {
      const weights = options.map(() => 0.1 + random.uniform())
      return weights.map((weight) => weight / sum(weights))
    })
    const all: Path[] = allPaths(space.decisions.map(({ options }) => [...options.keys()]))
    const mean = all.reduce((total, path) => {
      const probability = product(path.map((option, decision) => probabilities[decision]?.[option] as number))
      return total + probability * pathLatencyMs(covered.latency, path)
    }, 0)
    expect(expectedLatencyMs(covered.latency, probabilities)).toBeCloseTo(mean, 9)
  })
})

describe('settings', () => {
  const rows = (widths: { from: number; to: number; step: number }) => [{ ...SLICED_SPACE.rows[0]!, widths }]
  it.each<[string, SpaceRef, string]>([
    [
      'steps that miss the end',
      { ...SLICED_SPACE, rows: rows({ from: 8, to: 13, step: 4 }) },
      'expected steps of 4 that lead from 8 to 13',
    ],
    ['the same kernel twice', { ...SLICED_SPACE, kernels: [3, 3] }, 'expected different kernels, got 3, 3'],
    [
      'more combinations than a search can store',
      { ...SLICED_SPACE, choices: 'block', rows: rows({ from: 8, to: 8 + 4 * 200, step: 4 }) },
      'expected at most 80000 combinations',
    ],
  ])('are refused where they contradict each other: %s', (_, ref, message) => {
    expect(() => createSpace(ref)).toThrow(SpaceError)
    expect(() => createSpace(ref)).toThrow(message)
  })

  it('an architecture of another form is refused, and the form shown', () => {
    const space = createSpace(SLICED_SPACE)
    expect(() => parseArchitecture(space, 'sliced:k3')).toThrow('expected an architecture of the form skip-relu-s0-e1-c8, got "k3"')
    expect(() => parseArchitecture(space, 'sliced:k3-relu-s0-e1-c9')).toThrow('expected one of c8, c12 for row1.width, got "c9"')
  })
})
