import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { createRandom, seedState } from '../../search-space/random.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { dropoutMask } from '../../engine/executor/dropout.ts'
import { createWeights, type TrainInput, trainStep } from '../../engine/executor/index.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'
import { relativeError } from './kernels-relative-error.ts'

const BATCH = 6
const CLASSES = 3

const network = () => createBuilder([5, 5, 2]).conv('a', 4, 3).norm('a-bn').globalPool('pool').linear('head', CLASSES).build()

/** The gradient of `key`, and what central differences of the loss say it is. */
async function gradientAndDifferences(key: string, settings: () => Partial<TrainInput>) {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 3)
  const { images, labels } = randomBatch(BATCH, [5, 5, 2], CLASSES)
  const batch = images()
  const step = () => trainStep({ graph, weights, images: batch, labels, labelSmoothing: 0.1, ...settings() })
  const { gradients } = await step()
  const analytic = gradients.get(key)!.dataSync().slice()
  tf.dispose([...gradients.values()])
  const start = await weights.read(key)
  const numeric: number[] = []
  const distance = 1e-2
  for (const index of start.keys()) {
    const losses: number[] = []
    for (const sign of [1, -1]) {
      const moved = start.slice()
      moved[index] = (moved[index] as number) + sign * distance
      weights.write(key, moved)
      const { loss, gradients: unused } = await step()
      tf.dispose([...unused.values()])
      losses.push(loss)
    }
    numeric.push(((losses[0] as number) - (losses[1] as number)) / (2 * distance))
  }
  batch.dispose()
  weights.dispose()
  return { analytic, numeric }
}

const teacherLogits = () =>
  tf.tensor2d(
    Array.from({ length: BATCH * CLASSES }, (_, i) => Math.sin(i) * 3),
    [BATCH, CLASSES],
  )

describe('gradients that finite differences confirm', () => {
  test.each(['head/weights', 'head/bias', 'a/filter', 'a-bn/gamma'])('with dropout before the classifier: %s', async (key) => {
    const { analytic, numeric } = await gradientAndDifferences(key, () => ({
      dropout: { rate: 0.4, random: createRandom(seedState('dropout')) },
    }))
    expect(relativeError(analytic, numeric)).toBeLessThan(1e-2)
  })

  test.each([
    ['head/weights', 1],
    ['a/filter', 1],
    ['head/weights', 2],
  ])('with a teacher: %s in %i micro-batches', async (key, accumulate) => {
    await openBackend('wasm')
    const teacher = teacherLogits()
    const { analytic, numeric } = await gradientAndDifferences(key, () => ({
      accumulate,
      distillation: { teacherLogits: teacher, temperature: 3, weight: 0.7 },
    }))
    expect(relativeError(analytic, numeric)).toBeLessThan(1e-2)
    teacher.dispose()
  })
})

test.each(['cpu', 'wasm'] as const)('the loss with a teacher is the written-out one on %s, and nothing is left in memory', async (name) => {
  const { chosen } = await openBackend(name)
  const { graph, specs } = createBuilder([1, 1, 2]).linear('head', 2).build()
  const weights = createWeights(chosen, specs, 1)
  weights.write('head/weights', Float32Array.of(1, 0, 0, 1))
  weights.write('head/bias', Float32Array.of(0, 0))
  const images = tf.tensor4d([2, 0, 0, 1], [2, 1, 1, 2])
  const teacher = tf.tensor2d([0, 4, 1, 3], [2, 2])
  const before = tf.memory().numTensors
  const distillation = { teacherLogits: teacher, temperature: 2, weight: 0.25 }
  const { loss, correct, gradients } = await trainStep({ graph, weights, images, labels: Int32Array.of(0, 1), distillation })
  const softmax = ([a, b]: [number, number], t: number): [number, number] => {
    const p = 1 / (1 + Math.exp((b - a) / t))
    return [p, 1 - p]
  }
  const rows = [
    { student: [2, 0], teacher: [0, 4], label: 0 },
    { student: [0, 1], teacher: [1, 3], label: 1 },
  ] as const
  const expected = rows.map((row) => {
    const q = softmax([...row.student], 2)
    const p = softmax([...row.teacher], 2)
    const soft = -(p[0] * Math.log(q[0]) + p[1] * Math.log(q[1]))
    return 0.75 * -Math.log(softmax([...row.student], 1)[row.label]) + 0.25 * 4 * soft
  })
  expect(loss).toBeCloseTo((expected[0]! + expected[1]!) / 2, 5)
  expect(correct).toBe(2)
  tf.dispose([...gradients.values()])
  expect(tf.memory().numTensors).toBe(before)
  tf.dispose([images, teacher])
  weights.dispose()
})

test('a mask keeps its share of values, scaled so that their mean stays, and is the same for the same seed', async () => {
  await openBackend('wasm')
  const make = () => {
    const mask = dropoutMask({ rate: 0.25, random: createRandom(seedState('mask')) }, [100, 1, 1, 100])
    const values = Float32Array.from(mask.dataSync())
    mask.dispose()
    return values
  }
  const values = make()
  expect(make()).toEqual(values)
  expect(new Set(values)).toEqual(new Set([0, Math.fround(4 / 3)]))
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  expect(Math.abs(mean - 1)).toBeLessThan(0.03)
})

test('dropout leaves no tensor behind', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 3)
  for (const { key } of specs) weights.get(key)
  const { images, labels } = randomBatch(BATCH, [5, 5, 2], CLASSES)
  const batch = images()
  const before = tf.memory().numTensors
  const dropout = { rate: 0.5, random: createRandom(seedState('dropout')) }
  const { gradients } = await trainStep({ graph, weights, images: batch, labels, dropout })
  tf.dispose([...gradients.values()])
  expect(tf.memory().numTensors).toBe(before)
  batch.dispose()
  weights.dispose()
})
