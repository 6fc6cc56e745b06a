import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { averageStatistics, batchStatistics, createInference, createWeights, evaluate } from '../../engine/executor/index.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'
import { relativeError } from './kernels-relative-error.ts'

function network() {
  return createBuilder([9, 9, 3])
    .conv('stem', 5, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mbconv('a', 5, 3, 5)
    .mixed('m', 0, 1, [(branch) => branch.zero('m/zero', [5, 5, 5]), (branch) => branch.mbconv('m/b', 5, 2, 3)])
    .norm('late-bn')
    .relu6('late-relu')
    .pool('max', 'max', 2, 2)
    .pool('average', 'average', 3, 2)
    .concat('twice', 'average', 'average')
    .globalPool('pool')
    .linear('head', 4)
    .build()
}

async function prepare(name: 'cpu' | 'wasm') {
  const { chosen } = await openBackend(name)
  const built = network()
  const weights = createWeights(chosen, built.specs, 2)
  const values = new Map<string, Float32Array>()
  for (const { key } of built.specs) values.set(key, await weights.read(key))
  return { ...built, weights, lookup: (key: string) => values.get(key) as Float32Array }
}

describe.each(['cpu', 'wasm'] as const)('inference on %s', (name) => {
  test('with the batch’s own statistics gives the loss that batch statistics give', async () => {
    const { graph, weights, lookup } = await prepare(name)
    const { images, labels } = randomBatch(5, [9, 9, 3], 4)
    const batch = images()
    const statistics = await batchStatistics(graph, weights, batch)
    expect([...statistics.keys()]).toContain('m/b/project-bn/gamma')
    const plain = await evaluate({ graph, weights, images: batch, labels })
    const given = await evaluate({ graph, weights, images: batch, labels, statistics })
    expect(given.loss).toBeCloseTo(plain.loss, 4)
    expect(given.correct).toBe(plain.correct)

    const inference = createInference({ graph, weights: lookup, statistics })
    const logits = inference.run(batch)
    expect(logits.shape).toEqual([5, 1, 1, 4])
    const rows = tf.reshape(logits, [5, 4]).arraySync() as number[][]
    const losses = rows.map((row, i) => {
      const total = row.reduce((sum, value) => sum + Math.exp(value), 0)
      return Math.log(total) - (row[labels[i] as number] as number)
    })
    expect(losses.reduce((sum, loss) => sum + loss, 0) / 5).toBeCloseTo(plain.loss, 4)
    inference.dispose()
    weights.dispose()
    tf.dispose([batch, logits])
  })

  test.each(['relu', 'relu6'] as const)('a filter with NaN shows behind a %s, in training and in evaluation', async (activation) => {
    const { chosen } = await openBackend(name)
    const { graph, specs } = createBuilder([6, 6, 3])
      .conv('lone', 4)
      .activation('lone-relu', activation)
      .conv('a', 6)
      .norm('a-bn')
      .activation('a-relu', activation)
      .depthwise('b', 3, 1)
      .norm('b-bn')
      .activation('b-relu', activation)
      .globalPool('pool')
      .linear('head', 3)
      .build()
    const { images, labels } = randomBatch(2, [6, 6, 3], 3)
    for (const key of ['lone/filter', 'a/filter', 'b/filter']) {
      const weights = createWeights(chosen, specs, 2)
      const batch = images()
      const sound = await batchStatistics(graph, weights, batch)
      const values = await weights.read(key)
      values[0] = Number.NaN
      weights.write(key, values)
      const { trainStep } = await import('../../engine/executor/index.ts')
      const trained = await trainStep({ graph, weights, images: batch, labels })
      expect(trained.loss, `training, ${key}`).toBeNaN()
      expect((await evaluate({ graph, weights, images: batch, labels })).loss, `evaluation, ${key}`).toBeNaN()
      expect((await evaluate({ graph, weights, images: batch, labels, statistics: sound })).loss, `with statistics, ${key}`).toBeNaN()
      tf.dispose([...trained.gradients.values(), batch])
      weights.dispose()
    }
  })

  test('refuses numbers that are not finite, and names the layer', async () => {
    const { graph, lookup, weights } = await prepare(name)
    const broken = (key: string) => (of: string) => (of === key ? lookup(of).with(1, Number.NaN) : lookup(of))
    expect(() => createInference({ graph, weights: broken('head/weights') })).toThrow(
      'layer head, weights: element 1 is NaN, expected a finite number',
    )
    const images = randomBatch(2, [9, 9, 3], 4).images()
    const statistics = await batchStatistics(graph, weights, images)
    const negative = new Map([...statistics].map(([gamma, { mean, variance }]) => [gamma, { mean, variance: variance.map(() => -1) }]))
    expect(() => createInference({ graph, weights: lookup, statistics: negative })).toThrow(/element 0 is (NaN|-1), expected/)
    weights.dispose()
    tf.dispose(images)
  })

  test('runs a single operation without statistics', async () => {
    await openBackend(name)
    const { graph, specs } = createBuilder([6, 6, 4]).mbconv('op', 4, 3, 5).build()
    const weights = createWeights((await openBackend(name)).chosen, specs, 1)
    const values = new Map<string, Float32Array>()
    for (const { key } of specs) values.set(key, await weights.read(key))
    const inference = createInference({ graph, weights: (key) => values.get(key) as Float32Array })
    const x = tf.ones([1, 6, 6, 4]) as tf.Tensor4D
    const y = inference.run(x)
    expect(y.shape).toEqual([1, 6, 6, 4])
    inference.dispose()
    weights.dispose()
    tf.dispose([x, y])
  })
})

test('statistics of several batches are averaged', async () => {
  const one = new Map([['g', { mean: Float32Array.of(1, 2), variance: Float32Array.of(4, 4) }]])
  const two = new Map([['g', { mean: Float32Array.of(3, 4), variance: Float32Array.of(0, 8) }]])
  const average = averageStatistics([one, two]).get('g')
  expect(average).toEqual({ mean: Float32Array.of(2, 3), variance: Float32Array.of(2, 6) })
})

test('average pooling passes gradients that finite differences confirm', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = createBuilder([5, 5, 1]).conv('a', 2).pool('p', 'average', 3, 2).linear('head', 2).build()
  const weights = createWeights(chosen, specs, 3)
  const { images, labels } = randomBatch(2, [5, 5, 1], 2)
  const batch = images()
  const { trainStep } = await import('../../engine/executor/index.ts')
  const { gradients } = await trainStep({ graph, weights, images: batch, labels })
  const analytic = gradients.get('a/filter')!.dataSync().slice()
  const start = await weights.read('a/filter')
  const step = 1e-2
  const numeric: number[] = []
  for (const index of start.keys()) {
    const losses: number[] = []
    for (const sign of [1, -1]) {
      const moved = start.slice()
      moved[index] = (moved[index] as number) + sign * step
      weights.write('a/filter', moved)
      losses.push((await evaluate({ graph, weights, images: batch, labels })).loss)
    }
    numeric.push(((losses[0] as number) - (losses[1] as number)) / (2 * step))
  }
  expect(relativeError(analytic, numeric)).toBeLessThan(1e-2)
  tf.dispose([...gradients.values(), batch])
  weights.dispose()
})
