import * as tf from '@tensorflow/tfjs-core'
import { expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { batchStatistics, createInference, createSgd, createWeights, evaluate, gateStep, trainStep } from '../../engine/executor/index.ts'
import { type Builder, createBuilder, randomBatch } from './executor-graph-builder.ts'

function network() {
  return createBuilder([8, 8, 3])
    .conv('stem', 4, 3, 2)
    .norm('stem-bn')
    .relu6('stem-relu')
    .mixed('m0', 0, 0, [(branch) => branch.mbconv('m0/a', 4, 3, 3), (branch) => branch, (branch) => branch.zero('m0/zero', [4, 4, 4])])
    .pool('max', 'max', 2, 2)
    .concat('twice', 'max', 'max')
    .globalPool('pool')
    .linear('head', 3)
    .build()
}

test('steps leave no tensor and no byte behind', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(chosen, specs, 1)
  const sgd = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 })
  const { images, labels } = randomBatch(4, [8, 8, 3], 3)
  const batch = images()
  const input = { graph, weights, images: batch, labels }
  const heap = tf.backend() as unknown as { wasm: { asm: { memory: WebAssembly.Memory } } }
  const step = async () => {
    const { gradients } = await trainStep(input)
    sgd.apply(weights, gradients, 0.05)
    await gateStep(input)
    const statistics = await batchStatistics(graph, weights, batch)
    await evaluate({ ...input, statistics })
    const values = new Map<string, Float32Array>()
    for (const { key } of specs) values.set(key, await weights.read(key))
    const inference = createInference({ graph, weights: (key) => values.get(key)!, statistics })
    inference.run(batch).dispose()
    inference.dispose()
  }
  const usage = () => {
    const { numTensors, numBytes, numDataBuffers } = tf.memory()
    return { numTensors, numBytes, numDataBuffers, heapBytes: heap.wasm.asm.memory.buffer.byteLength }
  }
  for (let i = 0; i < 10; i++) await step()
  const before = usage()
  for (let i = 0; i < 50; i++) await step()
  expect(usage()).toEqual(before)
  sgd.clear()
  weights.dispose()
  batch.dispose()
})

test('a step that fails frees what it had made', async () => {
  const { chosen } = await openBackend('wasm')
  const { graph, specs } = network()
  const weights = createWeights(
    chosen,
    specs.filter(({ key }) => key !== 'head/bias'),
    1,
  )
  const { images, labels } = randomBatch(4, [8, 8, 3], 3)
  const batch = images()
  const input = { graph, weights, images: batch, labels }
  await expect(trainStep(input)).rejects.toMatchObject({ code: 'invalid-weight' })
  const before = tf.memory().numTensors
  await expect(trainStep(input)).rejects.toMatchObject({ code: 'invalid-weight' })
  expect(tf.memory().numTensors).toBe(before)
  weights.dispose()
  batch.dispose()
})

test('the reverse pass holds one path and one branch, not all branches', async () => {
  const { chosen } = await openBackend('cpu')
  const widths = [1, 8]
  const peaks: number[] = []
  for (const branchCount of widths) {
    const builder = createBuilder([8, 8, 4]).conv('stem', 4)
    const branches = Array.from({ length: branchCount }, (_, index) => (branch: Builder) => branch.mbconv(`b${index}`, 4, 6, 3))
    const { graph, specs } = builder.mixed('m', 0, 0, branches).globalPool('pool').linear('head', 3).build()
    const weights = createWeights(chosen, specs, 1)
    const { images, labels } = randomBatch(4, [8, 8, 4], 3)
    const batch = images()
    await gateStep({ graph, weights, images: batch, labels })
    const base = tf.memory().numBytes
    let peak = 0
    const engine = tf.engine()
    const original = engine.runKernel
    engine.runKernel = function runKernel(...given) {
      const result = original.apply(this, given)
      peak = Math.max(peak, tf.memory().numBytes - base)
      return result as never
    }
    await gateStep({ graph, weights, images: batch, labels })
    engine.runKernel = original
    peaks.push(peak)
    weights.dispose()
    batch.dispose()
  }
  // One branch is kept by the active path anyway: a second one recomputed beside it at most doubles the peak.
  expect(peaks[1]).toBeLessThan(2.2 * (peaks[0] as number))
})
