// Growing changes no output: on networks of every family, with drawn weights and statistics, by every action that they support.

import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { createInference, createWeights, predict } from '../../engine/executor/index.ts'
import {
  createRandom,
  createSpace,
  deepen,
  elementCount,
  growable,
  type GrownNetwork,
  Net2NetError,
  networkWeights,
  parseArchitecture,
  type PrimitiveLayer,
  primitiveLayers,
  seedState,
  type SpaceRef,
  widen,
} from '../../search-space/index.ts'
import { relativeError } from './kernels-relative-error.ts'

const IMAGES = 2
/** Of the largest logit. */
const TOLERANCE = 1e-5

beforeAll(() => openBackend('cpu'))

/** Numbers that no training starts from: a gamma, beta, mean or variance that is left out must show. */
function networkOf(layers: readonly PrimitiveLayer[]): GrownNetwork {
  const random = createRandom(seedState('net2net'))
  const normals = (count: number, scale: number, mean = 0) => Float32Array.from({ length: count }, () => mean + scale * random.normal())
  const weights = new Map(
    [...networkWeights({ layers })].map(([key, { shape }]) => {
      const fanIn = shape.slice(0, -1).reduce((product, size) => product * size, 1)
      return [
        key,
        { shape, values: shape.length > 1 ? normals(elementCount(shape), 1 / Math.sqrt(fanIn)) : normals(elementCount(shape), 0.3, 0.8) },
      ]
    }),
  )
  const statistics = new Map(
    layers.flatMap((layer) =>
      layer.kind === 'batchNorm'
        ? [[layer.gamma, { mean: normals(layer.shape[2], 0.3), variance: normals(layer.shape[2], 0.1, 0.8).map(Math.abs) }] as const]
        : [],
    ),
  )
  return { layers, weights, statistics }
}

function outputOf({ layers, weights, statistics }: GrownNetwork): Float32Array {
  const [input] = layers
  if (!input) throw new Error('no layers')
  // Every network is one that a space may be, weights are in its shapes.
  const space = createSpace({
    family: 'graph',
    name: 'grown',
    input: [...input.shape],
    classes: layers.at(-1)?.shape[2] ?? 0,
    layers: layers as never,
  })
  for (const { key, shape } of space.weightSpecs) expect([key, weights.get(key)?.shape]).toEqual([key, shape])
  const random = createRandom(seedState('images'))
  const inference = createInference({ graph: { layers }, weights: (key) => weights.get(key)?.values as Float32Array, statistics })
  const images = tf.tensor4d(
    Float32Array.from({ length: IMAGES * elementCount(input.shape) }, () => random.normal()),
    [IMAGES, ...input.shape],
  )
  const output = inference.run(images)
  const values = output.dataSync<'float32'>().slice()
  inference.dispose()
  tf.dispose([images, output])
  return values
}

const families: Readonly<Record<string, [SpaceRef, string]>> = {
  'MBConvs with depthwise convolutions, ReLU6 and sums': [
    {
      ...({ preset: 'fashion-mini', name: 'm', input: [8, 8, 1], classes: 4, firstBlock: null, headWidth: 12 } as const),
      ...({ stem: { width: 4, stride: 1 }, stages: [{ width: 6, cells: 3, stride: 2 }] } as const),
    },
    'm:mb3k3,mb3k5,mb6k3',
  ],
  'cells with ReLU before convolutions': [
    { preset: 'cell-mini', name: 'm', input: [8, 8, 1], classes: 4, width: 4 },
    'm:|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|',
  ],
  'cells with concatenations and dilation': [
    { preset: 'darts-mini', name: 'm', input: [8, 8, 1], classes: 4, width: 4, nodes: 2 },
    'm:normal=|sep_conv_3x3~0|skip_connect~1|+|dil_conv_3x3~0|max_pool_3x3~2|;reduce=|skip_connect~0|dil_conv_5x5~1|+|sep_conv_3x3~0|avg_pool_3x3~2|',
  ],
  'squeeze-and-excitation and Split-Attention': [
    { preset: 'fbnetv2-mini', name: 'm', input: [8, 8, 1], classes: 4, headWidth: 16 },
    'm:k3-swish-s1-e1-c12,k5-relu-s2-e1.5-c24,skip-relu-s2-e1.5-c32,k3-relu-s0-e3-c32',
  ],
  'layers that add and concatenate earlier outputs': [
    { preset: 'aggregation-mini', name: 'm', input: [8, 8, 1], classes: 4, headWidth: 16, stages: [{ width: 6, units: 3, growth: 6 }] },
    'm:stage1=|concat~0|+|sum~0|+|sum~1|concat~2|',
  ],
}

const relu = { kind: 'activation', activation: 'relu' } as const
const conv = (id: string, input: string, shape: readonly [number, number, number], kernel = 3): PrimitiveLayer[] => [
  { kind: 'conv2d', id, input, kernel, stride: 1, filter: `${id}.filter`, shape },
  { kind: 'batchNorm', id: `${id}.norm`, input: id, gamma: `${id}.gamma`, beta: `${id}.beta`, epsilon: 1e-3, shape },
  { ...relu, id: `${id}.relu`, input: `${id}.norm`, shape },
]
/** A dense block of DenseNet, and a plain convolutional network's linear layer over an image. */
const dense: PrimitiveLayer[] = [
  { kind: 'input', id: 'input', shape: [5, 4, 2] },
  ...conv('a', 'input', [5, 4, 3]),
  { kind: 'concat', id: 'one', inputs: ['input', 'a.relu'], shape: [5, 4, 5] },
  ...conv('b', 'one', [5, 4, 3]),
  { kind: 'concat', id: 'two', inputs: ['one', 'b.relu'], shape: [5, 4, 8] },
  ...conv('c', 'two', [5, 4, 4], 1),
  { kind: 'linear', id: 'linear', input: 'c.relu', weights: 'linear.weights', bias: 'linear.bias', shape: [1, 1, 3] },
]

function layersOf([ref, text]: [SpaceRef, string]): PrimitiveLayer[] {
  const space = createSpace(ref)
  return primitiveLayers(space.network(parseArchitecture(space, text)))
}

const cases: [string, () => readonly PrimitiveLayer[]][] = [
  ...Object.entries(families).map(([name, family]): [string, () => readonly PrimitiveLayer[]] => [name, () => layersOf(family)]),
  ['a dense block before a linear layer', () => dense],
]

describe.each(cases)('%s', (_, layers) => {
  it('compute the same when any convolution is widened', () => {
    const network = networkOf(layers())
    const before = outputOf(network)
    const random = createRandom(seedState('widen'))
    let widened = 0
    for (const id of growable(network.layers).widen) {
      const channels = network.layers.find((layer) => layer.id === id)?.shape[2] ?? 0
      try {
        const grown = widen(network, id, 2 * channels + 1, random)
        expect([id, relativeError(outputOf(grown), before) < TOLERANCE]).toEqual([id, true])
        expect(grown.layers.find((layer) => layer.id === id)?.shape[2]).toBe(2 * channels + 1)
        widened += 1
      } catch (error) {
        if (!(error instanceof Net2NetError)) throw error
        expect(error.message).toMatch(/is added to what would be widened|cannot be widened in one way/)
      }
    }
    expect(widened).toBeGreaterThan(2)
  })

  it('compute the same when any convolution is followed by another, and when all of it is done at once', () => {
    const network = networkOf(layers())
    const before = outputOf(network)
    const { deepen: places, widen: wide } = growable(network.layers)
    for (const id of places) {
      const grown = deepen(network, id)
      expect([id, relativeError(outputOf(grown), before) < TOLERANCE]).toEqual([id, true])
      expect(grown.layers).toHaveLength(network.layers.length + 3)
    }
    const random = createRandom(seedState('all'))
    const first = wide[0] as string
    const { shape } = network.layers.find((layer) => layer.id === first) as PrimitiveLayer
    let all = widen(network, first, shape[2] + 3, random)
    for (const id of places) all = deepen(all, id)
    all = widen(all, first, shape[2] + 5, random)
    expect(relativeError(outputOf(all), before)).toBeLessThan(TOLERANCE)
  })
})

it('copies of a channel read the same and are read by other shares', () => {
  const network = networkOf(dense)
  const { weights } = widen(network, 'c', 8, createRandom(seedState('shares')))
  const filter = weights.get('c.filter')?.values ?? new Float32Array()
  const column = (channel: number) => Array.from({ length: 8 }, (_, row) => filter[row * 8 + channel])
  const copyOf = [4, 5, 6, 7].map((copy) => [0, 1, 2, 3].find((old) => column(old).join() === column(copy).join()))
  expect(copyOf).not.toContain(undefined)
  const rows = weights.get('linear.weights')?.values ?? new Float32Array()
  expect(rows[4 * 3]).not.toBe(rows[(copyOf[0] as number) * 3])
})

it('a deeper network is nearly the same by statistics of the batch too', async () => {
  const layers = layersOf(families['MBConvs with depthwise convolutions, ReLU6 and sums'] as [SpaceRef, string])
  const network = networkOf(layers)
  const { chosen } = await openBackend('cpu')
  const logitsOf = async (grown: GrownNetwork) => {
    const weights = createWeights(chosen, [...networkWeights({ layers: grown.layers }).values()], 1)
    for (const [key, { values }] of grown.weights) weights.write(key, values)
    const random = createRandom(seedState('batch'))
    const images = tf.tensor4d(
      Float32Array.from({ length: 32 * 64 }, () => random.normal()),
      [32, 8, 8, 1],
    )
    const logits = await predict({ graph: { layers: grown.layers }, weights, images })
    images.dispose()
    weights.dispose()
    return logits
  }
  const [id = ''] = growable(layers).deepen
  // What a normal input of the ReLU6 would have, against what this one has; a batch-norm of mean 0 and variance 1 is far off.
  expect(relativeError(await logitsOf(deepen(network, id)), await logitsOf(network))).toBeLessThan(0.1)
})

/** A convolution in groups, and channels that go by their places, behind one that could be widened. */
const grouped = (kind: 'conv2d' | 'channelShuffle' | 'channelRange'): PrimitiveLayer[] => [
  { kind: 'input', id: 'input', shape: [5, 4, 2] },
  ...conv('a', 'input', [5, 4, 4]),
  kind === 'conv2d'
    ? { kind, id: 'b', input: 'a.relu', kernel: 3, stride: 1, groups: 2, filter: 'b.filter', shape: [5, 4, 4] }
    : kind === 'channelShuffle'
      ? { kind, id: 'b', input: 'a.relu', groups: 2, shape: [5, 4, 4] }
      : { kind, id: 'b', input: 'a.relu', first: 0, shape: [5, 4, 4] },
  ...conv('c', 'b', [5, 4, 4]),
  { kind: 'linear', id: 'linear', input: 'c.relu', weights: 'linear.weights', bias: 'linear.bias', shape: [1, 1, 3] },
]

it.each([
  [() => widen(networkOf(grouped('conv2d')), 'a', 5, createRandom(seedState(1))), 'layer b (conv2d) has groups of channels'],
  [() => widen(networkOf(grouped('conv2d')), 'b', 6, createRandom(seedState(1))), 'layer b (conv2d) has groups of channels'],
  [
    () => widen(networkOf(grouped('channelShuffle')), 'a', 5, createRandom(seedState(1))),
    'layer b (channelShuffle) goes by the places of the channels that would be widened',
  ],
  [
    () => widen(networkOf(grouped('channelRange')), 'a', 5, createRandom(seedState(1))),
    'layer b (channelRange) goes by the places of the channels that would be widened',
  ],
  [() => widen(networkOf(dense), 'a', 3, createRandom(seedState(1))), 'expected more than the 3 channels that a has, got 3'],
  [() => widen(networkOf(dense), 'one', 9, createRandom(seedState(1))), 'expected a convolution to widen, got one (concat)'],
  [() => widen(networkOf(dense), 'z', 9, createRandom(seedState(1))), 'expected a convolution to widen, got z'],
  [() => deepen(networkOf(dense), 'linear'), 'expected a convolution to go deeper behind, got linear (linear)'],
  [
    () =>
      deepen(
        networkOf(
          dense
            .filter(({ id }) => id !== 'c.relu')
            .map((layer) => (layer.id === 'linear' ? { ...layer, input: 'c.norm' } : layer)) as PrimitiveLayer[],
        ),
        'c',
      ),
    'expected a batch-norm and a ReLU or ReLU6 behind c',
  ],
])('says why it cannot', (grow, message) => {
  expect(grow).toThrow(Net2NetError)
  expect(grow).toThrow(message)
})

it('what goes by the places of channels is no obstacle behind what stays as it was', () => {
  for (const kind of ['conv2d', 'channelShuffle', 'channelRange'] as const) {
    const network = networkOf(grouped(kind))
    expect(growable(network.layers).widen).toEqual(['a', 'c'])
    const grown = widen(network, 'c', 9, createRandom(seedState(2)))
    expect(relativeError(outputOf(grown), outputOf(network))).toBeLessThan(TOLERANCE)
  }
})

it.each([
  [(layers: PrimitiveLayer[]) => layers.slice(1), 'expected the first layer, and no other, to be the input (space.layers[0])'],
  [
    (layers: PrimitiveLayer[]) => [...layers.slice(0, 2), ...layers.slice(1)],
    'expected layers of different ids, got a twice (space.layers[2])',
  ],
  [(layers: PrimitiveLayer[]) => layers.toSpliced(1, 1), 'layer a.norm reads a, which no earlier layer makes (space.layers[1])'],
  [(layers: PrimitiveLayer[]) => layers.slice(0, -1), 'expected the last layer to make 3 logits'],
  [
    (layers: PrimitiveLayer[]) => layers.with(4, { ...(layers[4] as PrimitiveLayer), shape: [5, 4, 6] } as PrimitiveLayer),
    'layer one: expected the shape 5×4×5, got 5×4×6 (space.layers[4])',
  ],
])('a network that is written out is checked', (change, message) => {
  const layers = change([...dense]) as never
  expect(() => createSpace({ family: 'graph', name: 'g', input: [5, 4, 2], classes: 3, layers })).toThrow(message)
})
