// Gradient accumulation, the memory that steps report, and the memory that long training leaves.

import * as tf from '@tensorflow/tfjs-core'
import { expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { createSgd, createWeights, gateStep, trainStep, type TrainResult } from '../../engine/executor/index.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'
import { relativeError } from './kernels-relative-error.ts'

const SHAPE = [8, 8, 3] as const

function network() {
  return createBuilder(SHAPE)
    .conv('stem', 8, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mixed('m0', 0, 0, [(branch) => branch.mbconv('m0/a', 8, 6, 3), (branch) => branch.mbconv('m0/b', 8, 3, 5)])
    .globalPool('pool')
    .linear('head', 3)
    .build()
}

function valuesOf({ gradients }: TrainResult): Map<string, Float32Array> {
  const values = new Map<string, Float32Array>()
  for (const [key, gradient] of gradients) values.set(key, gradient.dataSync().slice() as Float32Array)
  tf.dispose([...gradients.values()])
  return values
}

test('a batch in micro-batches has the mean of their gradients', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 1)
  const { images, labels } = randomBatch(7, SHAPE, 3)
  const batch = images()
  const whole = await trainStep({ graph, weights, images: batch, labels, labelSmoothing: 0.1, accumulate: 2 })
  // 7 images in two: round(3.5) = 4 and 3.
  const bounds = [0, 4, 7]
  let loss = 0
  let correct = 0
  const expected = new Map<string, Float32Array>()
  for (const [index, start] of bounds.slice(0, -1).entries()) {
    const end = bounds[index + 1] as number
    const part = tf.slice4d(batch, [start, 0, 0, 0], [end - start, -1, -1, -1])
    const result = await trainStep({ graph, weights, images: part, labels: labels.slice(start, end), labelSmoothing: 0.1 })
    part.dispose()
    const share = (end - start) / labels.length
    loss += result.loss * share
    correct += result.correct
    for (const [key, values] of valuesOf(result)) {
      const before = expected.get(key) ?? new Float32Array(values.length)
      expected.set(
        key,
        before.map((value, i) => value + (values[i] as number) * share),
      )
    }
  }
  expect(whole.loss).toBeCloseTo(loss, 6)
  expect(whole.correct).toBe(correct)
  const actual = valuesOf(whole)
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort())
  for (const [key, values] of actual) {
    expect({ key, error: relativeError(values, expected.get(key) as Float32Array) < 1e-4 }).toEqual({ key, error: true })
  }
  batch.dispose()
  weights.dispose()
})

test('micro-batches take less memory, and more of them than images are refused', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 1)
  const { images, labels } = randomBatch(16, SHAPE, 3)
  const batch = images()
  const peaks: number[] = []
  for (const accumulate of [1, 4]) {
    const { gradients, peakBytes } = await trainStep({ graph, weights, images: batch, labels, accumulate })
    tf.dispose([...gradients.values()])
    peaks.push(peakBytes)
  }
  expect(peaks[1]).toBeLessThan(0.4 * (peaks[0] as number))
  await expect(trainStep({ graph, weights, images: batch, labels, accumulate: 17 })).rejects.toThrow(/accumulate/)
  batch.dispose()
  weights.dispose()
})

test('tensors and bytes after 500 steps equal those after 50', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 1)
  const sgd = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 })
  const { images, labels } = randomBatch(4, SHAPE, 3)
  const batch = images()
  const heap = tf.backend() as unknown as { wasm: { asm: { memory: WebAssembly.Memory } } }
  const usage = () => {
    const { numTensors, numBytes, numDataBuffers } = tf.memory()
    return { numTensors, numBytes, numDataBuffers, heapBytes: heap.wasm.asm.memory.buffer.byteLength }
  }
  let before: ReturnType<typeof usage> | undefined
  for (let step = 1; step <= 500; step++) {
    const { gradients } = await trainStep({ graph, weights, images: batch, labels, accumulate: 1 + (step % 2) })
    sgd.apply(weights, gradients, 0.05)
    await gateStep({ graph, weights, images: batch, labels })
    if (step === 50) before = usage()
  }
  expect(usage()).toEqual(before)
  sgd.clear()
  weights.dispose()
  batch.dispose()
})
