import * as tf from '@tensorflow/tfjs-core'
import { expect, test } from 'vitest'

import type { WeightSpec } from '../../search-space/layer-graph.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createWeights } from '../../engine/executor/index.ts'
import { createMovingAverage } from '../../engine/training/moving-average.ts'

const specs: WeightSpec[] = [
  { key: 'a', shape: [2, 3], initialiser: { kind: 'uniform-fan-in', fanIn: 1 }, decay: true },
  { key: 'b', shape: [4], initialiser: { kind: 'zeros' }, decay: false },
]

test.each(['cpu', 'wasm'] as const)('the average follows its written-out recursion on %s, and leaves nothing behind', async (name) => {
  const { chosen } = await openBackend(name)
  const decay = 0.3
  const weights = createWeights(chosen, specs, 4)
  for (const { key } of specs) weights.get(key)
  const expected = new Map<string, number[]>()
  for (const { key } of specs) expected.set(key, [...(await weights.read(key))])
  const before = tf.memory().numTensors
  const average = await createMovingAverage(chosen, weights, ['a', 'b'], decay)
  for (let step = 0; step < 8; step++) {
    for (const { key, shape } of specs) {
      const size = shape.reduce((a, b) => a * b, 1)
      weights.write(
        key,
        Float32Array.from({ length: size }, (_, i) => Math.sin(step * 7 + i)),
      )
    }
    average.update(step)
    // (1 + t) / (10 + t) is below 0.3 for the first two or three steps.
    const d = Math.min(decay, (1 + step) / (10 + step))
    for (const [key, values] of expected) {
      const current = await weights.read(key)
      expected.set(
        key,
        values.map((value, i) => d * value + (1 - d) * current[i]!),
      )
    }
  }
  for (const [key, values] of expected) {
    const actual = await average.weights.read(key)
    for (const [i, value] of values.entries()) expect(actual[i]).toBeCloseTo(value, 5)
  }
  average.dispose()
  expect(tf.memory().numTensors).toBe(before)
  weights.dispose()
})
