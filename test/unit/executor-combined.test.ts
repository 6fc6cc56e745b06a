// DARTS and One-Shot: mixed layers that run all their branches, against autodiff.

import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import type { Combination } from '../../search-space/layer-graph.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createWeights, evaluate, gateStep, trainStep } from '../../engine/executor/index.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'
import { referenceGradients } from './executor-reference.ts'
import { relativeError } from './kernels-relative-error.ts'

const SHAPE = [8, 8, 3] as const

/** Two blocks: ordinary branches, then a skip block with an identity and a zero. */
function network(first: Combination, second: Combination) {
  return createBuilder(SHAPE)
    .conv('stem', 6, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mixed('m0', 0, 0, [(branch) => branch.mbconv('m0/a', 8, 3, 3, 1, false), (branch) => branch.mbconv('m0/b', 8, 2, 5, 1, false)], first)
    .mixed(
      'm1',
      1,
      0,
      [(branch) => branch.mbconv('m1/a', 8, 2, 3, 1, false), (branch) => branch, (branch) => branch.zero('m1/zero', [4, 4, 8])],
      second,
    )
    .add('m1/shortcut', 'm1', 'm0')
    .globalPool('pool')
    .linear('head', 3)
    .build()
}

const combinations: Record<string, [Combination, Combination]> = {
  'weighted sum': [
    { kind: 'weighted', weights: [0.6, 0.4] },
    { kind: 'weighted', weights: [0.2, 0.7, 0.1] },
  ],
  'plain sum': [{ kind: 'sum' }, { kind: 'sum' }],
}

describe.each(['cpu', 'wasm'] as const)('all branches at once on %s', (name) => {
  test.each(Object.keys(combinations))('gives the gradients of autodiff: %s', async (kind) => {
    const [first, second] = combinations[kind] as [Combination, Combination]
    const built = network(first, second)
    const { images, labels } = randomBatch(4, SHAPE, 3)
    const cpu = (await openBackend('cpu')).chosen
    const cpuWeights = createWeights(cpu, built.specs, 9)
    const values = new Map<string, { shape: readonly number[]; values: Float32Array }>()
    for (const { key, shape } of built.specs) values.set(key, { shape, values: await cpuWeights.read(key) })
    const cpuImages = images()
    const expected = referenceGradients(built.graph, values, cpuImages, labels)
    cpuImages.dispose()
    cpuWeights.dispose()

    const { chosen } = await openBackend(name)
    const weights = createWeights(chosen, built.specs, 9)
    const batch = images()
    const input = { graph: built.graph, weights, images: batch, labels }
    const trained = await trainStep({ ...input, wantsMixture: true })
    const frozen = await gateStep(input)
    const plain = await evaluate(input)

    for (const { loss } of [trained, frozen, plain]) expect(loss).toBeCloseTo(expected.loss, 5)
    const largest = Math.max(...[...expected.gradients.values()].map((g) => Math.max(...g.map(Math.abs))))
    for (const { key } of built.specs) {
      const reference = expected.gradients.get(key) as Float32Array
      const own = Math.max(...reference.map(Math.abs), largest * 1e-2)
      const actual = (trained.gradients.get(key) as tf.Tensor).dataSync()
      const error = Math.max(...reference.map((value, index) => Math.abs(value - (actual[index] as number))))
      expect({ key, agrees: error < 1e-4 * own, error }).toMatchObject({ agrees: true })
    }
    const blocks = first.kind === 'weighted' ? [0, 1] : []
    expect(trained.mixtureGradients.map(({ block }) => block)).toEqual(blocks)
    expect(frozen.mixtureGradients.map(({ block }) => block)).toEqual(blocks)
    for (const { block, gradients } of [...trained.mixtureGradients, ...frozen.mixtureGradients]) {
      const reference = expected.gradients.get(`mixture/${block}`) as Float32Array
      expect(relativeError(gradients, reference)).toBeLessThan(1e-3)
    }
    expect(frozen.gateGradients).toEqual([])
    tf.dispose([...trained.gradients.values(), batch])
    weights.dispose()
  })
})

test('all branches leave no tensor behind', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network({ kind: 'weighted', weights: [0.5, 0.5] }, { kind: 'sum' })
  const weights = createWeights(chosen, specs, 1)
  const { images, labels } = randomBatch(4, SHAPE, 3)
  const batch = images()
  const step = async () => {
    for (const wantsMixture of [true, false]) {
      const { gradients } = await trainStep({ graph, weights, images: batch, labels, wantsMixture })
      tf.dispose([...gradients.values()])
    }
    await gateStep({ graph, weights, images: batch, labels })
    await evaluate({ graph, weights, images: batch, labels })
  }
  await step()
  const before = tf.memory()
  await step()
  expect(tf.memory()).toMatchObject({ numTensors: before.numTensors, numBytes: before.numBytes })
  weights.dispose()
  batch.dispose()
})
