import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { createSpace, parseArchitecture, type SpaceRef } from '../../search-space/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createWeights, trainStep } from '../../engine/executor/index.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
import { buildOf, type Built, createBuilder, identitySpace, randomBatch } from './executor-graph-builder.ts'
import { referenceGradients } from './executor-reference.ts'
import { relativeError } from './kernels-relative-error.ts'

const attentionSpace = createSpace({
  ...SLICED_SPACE,
  name: 'attention',
  input: [9, 9, 3],
  kernels: [0, 3, 5],
  rows: [
    { expansions: { from: 2, to: 2, step: 1 }, widths: { from: 8, to: 12, step: 4 }, blocks: 1, stride: 1 },
    { expansions: { from: 1.5, to: 2, step: 0.5 }, widths: { from: 8, to: 12, step: 4 }, blocks: 2, stride: 2 },
    { expansions: { from: 2, to: 2, step: 1 }, widths: { from: 8, to: 12, step: 4 }, blocks: 1, stride: 1 },
  ],
})

const AGGREGATION = {
  ...({ preset: 'aggregation-mini', name: 'read', input: [8, 8, 3], classes: 3, stem: { stride: 1 }, headWidth: 8 } as const),
  stages: [
    { width: 4, units: 3, growth: 4 },
    { width: 5, units: 2, growth: 6 },
  ],
} as const satisfies SpaceRef
const chosenSpace = createSpace({ ...AGGREGATION, bottleneck: true })
const denseSpace = createSpace({ ...AGGREGATION, aggregations: ['concat'], headWidth: null })

const networks: Record<string, () => Built> = {
  'strided MBConv blocks with a residual': () =>
    createBuilder([9, 9, 3])
      .conv('stem', 5, 3, 2)
      .norm('stem-bn')
      .relu6('stem-relu')
      .mbconv('a', 5, 3, 5)
      .mbconv('b', 6, 2, 3, 2)
      .mbconv('c', 6, 1, 7)
      .globalPool('pool')
      .linear('head', 4)
      .build(),
  'identities that project and that skip': () => buildOf(identitySpace, [0, 0, 0]),
  'an MBConv with a shortcut between projections': () => buildOf(identitySpace, [0, 2, 0]),
  'branches that meet in add and concat': () => {
    const builder = createBuilder([6, 6, 4]).conv('a', 4).norm('a-bn')
    builder.conv('b', 4, 3, 1, 'a-bn').relu6('b-relu').add('sum', 'b-relu', 'a-bn')
    return builder.concat('joined', 'sum', 'a-bn', 'b').globalPool('pool').linear('head', 3).build()
  },
  'pooling with odd borders': () =>
    createBuilder([7, 7, 2])
      .conv('a', 5, 3, 1)
      .pool('max', 'max', 3, 2)
      .conv('b', 5)
      .pool('average', 'average', 2, 2)
      .linear('head', 3)
      .build(),
  'blocks with squeeze-and-excitation, Split-Attention and the swish': () =>
    buildOf(attentionSpace, parseArchitecture(attentionSpace, 'attention:k3-swish-s1-e2-c8,k5-swish-s2-e1.5-c12,skip-relu-s0-e2-c8')),
  'layers that add and concatenate earlier outputs, with bottlenecks': () =>
    buildOf(chosenSpace, parseArchitecture(chosenSpace, 'read:stage1=|concat~0|+|sum~0|concat~1|+|sum~1|sum~2|;stage2=|concat~0|+|sum~1|')),
  'layers that concatenate all earlier outputs': () => buildOf(denseSpace, [0]),
  'a batch-norm output that is read twice': () => {
    const builder = createBuilder([4, 4, 3]).conv('a', 4).norm('a-bn').relu6('a-relu')
    return builder.add('sum', 'a-bn', 'a-relu').globalPool('pool').linear('head', 3).build()
  },
}

async function weightValues({ specs }: Built, seed: number) {
  const { chosen } = await openBackend('cpu')
  const weights = createWeights(chosen, specs, seed)
  const values = new Map<string, { shape: readonly number[]; values: Float32Array }>()
  for (const { key, shape } of specs) values.set(key, { shape, values: await weights.read(key) })
  weights.dispose()
  return values
}

describe.each(['cpu', 'wasm'] as const)('trainStep on %s', (name) => {
  test.each(Object.keys(networks))('gives the gradients of autodiff: %s', async (network) => {
    const built = (networks[network] as () => Built)()
    const shape = built.graph.layers[0]!.shape
    const { images, labels } = randomBatch(3, shape, 3)
    const values = await weightValues(built, 5)
    const cpuImages = images()
    const expected = referenceGradients(built.graph, values, cpuImages, labels, 0.1)
    cpuImages.dispose()

    const { chosen } = await openBackend(name)
    const weights = createWeights(chosen, built.specs, 5)
    const batch = images()
    const result = await trainStep({ graph: built.graph, weights, images: batch, labels, labelSmoothing: 0.1 })

    expect(result.loss).toBeCloseTo(expected.loss, 5)
    expect([...result.gradients.keys()].sort()).toEqual(built.specs.map(({ key }) => key).sort())
    // Behind a normalisation a gradient may be a sum of large cancelling parts: compare against the largest of all.
    const largest = Math.max(...[...expected.gradients.values()].map((g) => Math.max(...g.map(Math.abs))))
    for (const [key, gradient] of result.gradients) {
      const reference = expected.gradients.get(key) as Float32Array
      const actual = gradient.dataSync()
      const own = Math.max(...reference.map(Math.abs))
      const error = relativeError(actual, reference) * Math.max(own, 1e-6)
      const agrees = error < 1e-4 * Math.max(own, largest * 1e-2)
      expect({ key, error, agrees }).toMatchObject({ agrees: true })
    }
    tf.dispose([...result.gradients.values(), batch])
    weights.dispose()
  })
})

test('loss and correct are those of the logits, without smoothing by default', async () => {
  const { chosen } = await openBackend('wasm')
  const built = createBuilder([1, 1, 2]).linear('head', 2).build()
  const weights = createWeights(chosen, built.specs, 1)
  weights.write('head/weights', Float32Array.of(1, 0, 0, 1))
  weights.write('head/bias', Float32Array.of(0, 0))
  const images = tf.tensor4d([2, 0, 0, 1, 3, 0], [3, 1, 1, 2])
  const labels = Int32Array.of(0, 1, 1)
  const { loss, correct, gradients } = await trainStep({ graph: built.graph, weights, images, labels })
  const expected = (Math.log(1 + Math.exp(-2)) + Math.log(1 + Math.exp(-1)) + Math.log(1 + Math.exp(3))) / 3
  expect(loss).toBeCloseTo(expected, 6)
  expect(correct).toBe(2)
  tf.dispose([...gradients.values(), images])
  weights.dispose()
})
