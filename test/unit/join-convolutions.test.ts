// One convolution for a sum of several: the same outputs, the same multiply-accumulates, fewer operations.

import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { createInference, createWeights, foldBatchNorm, predict } from '../../engine/executor/index.ts'
import { joinConvolutions, joinedValues } from '../../search-space/join-convolutions.ts'
import { createRandom, createSpace, type LayerGraph, layerShape, primitiveLayers, randomPath, seedState } from '../../search-space/index.ts'
import { totalCosts } from '../../search-space/layer-costs.ts'
import { layerInputs } from '../../search-space/layers/index.ts'
import { makeModel, randomImages } from '../fixtures/trained-models.ts'
import { createBuilder } from './executor-graph-builder.ts'

const BATCH = 2
type Builder = ReturnType<typeof createBuilder>

beforeAll(async () => void (await openBackend('cpu')))

const kindsOf = ({ layers }: LayerGraph) => layers.map(({ kind }) => kind)
const countOf = (graph: LayerGraph, kind: string) => kindsOf(graph).filter((own) => own === kind).length

/** Every layer reads what is before it, in the shape that follows from it. */
function expectWhole({ layers }: LayerGraph) {
  const shapes = new Map<string, readonly [number, number, number]>()
  for (const layer of primitiveLayers({ layers })) {
    const inputs = layerInputs(layer).map((id) => shapes.get(id))
    expect(inputs, layer.id).not.toContain(undefined)
    if (layer.kind !== 'input') expect(layerShape(layer, inputs as never), layer.id).toEqual(layer.shape)
    expect(shapes.has(layer.id), layer.id).toBe(false)
    shapes.set(layer.id, layer.shape)
  }
}

describe('the architectures of a space of what layers read', () => {
  const space = createSpace({
    preset: 'aggregation-mini',
    input: [12, 8, 2],
    stages: [
      { width: 6, units: 4, growth: 6 },
      { width: 5, units: 3, growth: 6 },
    ],
  })
  const random = createRandom(seedState('join', 1))
  const paths = [
    ...[0, 1, 2].map((option) => space.decisions.map(({ options }) => Math.min(option, options.length - 1))),
    randomPath(space, random),
    randomPath(space, random),
  ]

  it.each(paths.map((path) => [space.encoding.print(path), path] as const))(
    'compute the same as what is trained: %s',
    async (text, path) => {
      const { weights, statistics } = makeModel({
        space: {
          preset: 'aggregation-mini',
          name: 'same',
          input: [12, 8, 2],
          stages: [
            { width: 6, units: 4, growth: 6 },
            { width: 5, units: 3, growth: 6 },
          ],
        },
        architecture: `same:${text}`,
      })
      const graph = space.network(path)
      const { graph: joined } = joinConvolutions(graph)
      expectWhole(joined)
      // A convolution for the stem, each unit, the transition and the head.
      expect(countOf(joined, 'conv2d')).toBe(1 + 4 + 1 + 3 + 1)
      expect(totalCosts(primitiveLayers(joined))).toEqual(totalCosts(primitiveLayers(graph)))

      const images = tf.tensor4d(randomImages(BATCH, space.input), [BATCH, ...space.input])
      const { chosen } = await openBackend('cpu')
      const trained = createWeights(chosen, space.weightSpecs, 1)
      for (const [key, { values }] of weights) trained.write(key, values)
      // The executor that trains runs the network as it is.
      const wanted = await predict({ graph, weights: trained, images, statistics })
      const inference = createInference({ graph, weights: (key) => weights.get(key)?.values as Float32Array, statistics })
      const found = inference.run(images)
      const values = found.dataSync()
      expect(Math.abs((wanted[0] as number) - (wanted[10] as number))).toBeGreaterThan(1e-2)
      for (const [index, value] of wanted.entries()) expect(Math.abs((values[index] as number) - value)).toBeLessThan(1e-5)
      tf.dispose([images, found])
      inference.dispose()
      trained.dispose()
    },
  )

  it('have one operation for each layer in networks for inference', () => {
    const path = space.decisions.map(({ options }) => options.length - 1)
    const steps = (graph: LayerGraph) =>
      foldBatchNorm(graph, (_, shape) => new Float32Array(shape.reduce((n, size) => n * size, 1)).fill(0.1)).steps
    const found = steps(space.network(path))
    expect(found.filter(({ kind }) => kind === 'conv2d')).toHaveLength(10)
    expect(found.filter(({ kind }) => kind === 'add')).toHaveLength(0)
  })

  it('need the running statistics of every batch-norm', () => {
    const path = space.decisions.map(({ options }) => options.length - 1)
    const weights = (_: string, shape: readonly number[]) => new Float32Array(shape.reduce((n, size) => n * size, 1))
    expect(() => foldBatchNorm(space.network(path), weights, new Map())).toThrow(/no statistics for batch-norm stage1\.unit1\/conv\.gamma/)
  })
})

describe('a sum of convolutions', () => {
  it('keeps what is not a convolution, or is one of another kernel or stride', () => {
    const builder = createBuilder([6, 6, 4]).conv('a', 5, 3)
    builder.conv('b', 5, 3, 1, 'input').conv('c', 5, 1, 1, 'input').norm('c-norm').add('ab', 'a', 'b').add('sum', 'c-norm', 'ab')
    const { graph, joined } = joinConvolutions(builder.globalPool('pool').linear('head', 3).build().graph)
    expectWhole(graph)
    expect(kindsOf(graph)).toEqual(['input', 'conv2d', 'batchNorm', 'concat', 'conv2d', 'add', 'globalAveragePool', 'linear'])
    expect(joined.get('a/filter+b/filter')?.parts.map(({ shape }) => shape)).toEqual([
      [3, 3, 4, 5],
      [3, 3, 4, 5],
    ])
  })

  it('takes along batch-norms and activations that all of them have, however many', () => {
    const builder = createBuilder([6, 6, 4])
    for (const name of ['a', 'b']) {
      const chain = builder.norm(`${name}1`, 'input').relu6(`${name}2`).norm(`${name}3`)
      // The last one of `b` has another activation.
      chain.activation(`${name}4`, name === 'a' ? 'relu' : 'swish').conv(`${name}5`, 5, 3)
    }
    const { graph } = builder.add('sum', 'a5', 'b5').globalPool('pool').linear('head', 3).build()
    expect(countOf(joinConvolutions(graph).graph, 'batchNorm')).toBe(4)
    const layers = graph.layers.map((layer) =>
      layer.kind === 'activation' && layer.id === 'b4' ? { ...layer, activation: 'relu' as const } : layer,
    )
    const same = joinConvolutions({ layers }).graph
    expectWhole(same)
    expect(kindsOf(same).join()).toBe('input,concat,batchNorm,activation,batchNorm,activation,conv2d,globalAveragePool,linear')
  })

  it.each([
    ['a convolution that something else reads', 3, (builder: Builder) => builder.add('sum', 'a', 'b').add('more', 'sum', 'a')],
    ['convolutions of different kernels', 5, (builder: Builder) => builder.add('sum', 'a', 'b')],
    ['a convolution and itself', 3, (builder: Builder) => builder.add('sum', 'b', 'b').add('last', 'sum', 'a')],
  ])('is left as it is with %s', (_, kernel, extend) => {
    const { graph } = extend(createBuilder([6, 6, 4]).conv('a', 5, 3).conv('b', 5, kernel, 1, 'input')).build()
    expect(joinConvolutions(graph).graph).toBe(graph)
  })

  it('has filters side by side on the axis of their inputs', () => {
    const spec = (key: string, inputs: number) => ({ key, shape: [1, 1, inputs, 2], initialiser: { kind: 'zeros' } as const, decay: true })
    const given = new Map([
      ['a', Float32Array.of(1, 2)],
      ['b', Float32Array.of(3, 4, 5, 6)],
    ])
    const read = (key: string) => given.get(key) as Float32Array
    expect([...joinedValues({ parts: [spec('a', 1), spec('b', 2)], axis: 2 }, read)]).toEqual([1, 2, 3, 4, 5, 6])
    const wide = (key: string, inputs: number) => ({ ...spec(key, inputs), shape: [2, 1, inputs, 1] })
    expect([...joinedValues({ parts: [wide('a', 1), wide('b', 2)], axis: 2 }, read)]).toEqual([1, 3, 4, 2, 5, 6])
  })
})

it('leaves convolutions in groups as they are', () => {
  const conv = (id: string) =>
    ({ kind: 'conv2d', id, input: 'input', kernel: 1, stride: 1, groups: 2, filter: `${id}.filter`, shape: [3, 3, 4] }) as const
  const graph: LayerGraph = {
    layers: [
      { kind: 'input', id: 'input', shape: [3, 3, 4] },
      conv('a'),
      conv('b'),
      { kind: 'add', id: 'sum', inputs: ['a', 'b'], shape: [3, 3, 4] },
    ],
  }
  expect(joinConvolutions(graph).graph).toEqual(graph)
})
