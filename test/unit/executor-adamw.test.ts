// AdamW and gradient clipping against the equations, in float64.

import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { clipGradients, createAdamW, createWeights } from '../../engine/executor/index.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { path, space } from './training-images.ts'

const graph = space.network(path)
const specs = space.weightSpecs.filter(({ key }) => graph.layers.some((layer) => JSON.stringify(layer).includes(`"${key}"`))).slice(0, 4)

describe('AdamW', () => {
  it('takes the steps of its equations, decays what the spec says, and goes on from moments that were read', async () => {
    const { chosen } = await openBackend('wasm')
    const options = { beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1 }
    const weights = createWeights(chosen, specs, 3)
    const keys = specs.map(({ key }) => key)
    expect(specs.some(({ decay }) => decay) && specs.some(({ decay }) => !decay)).toBe(true)
    const expected = new Map<string, { w: number[]; m: number[]; v: number[] }>()
    for (const key of keys) {
      const w = [...(await weights.read(key))]
      expected.set(key, { w, m: w.map(() => 0), v: w.map(() => 0) })
    }
    let optimiser = createAdamW(options)
    const random = createRandom(seedState('adamw'))
    for (let step = 0; step < 6; step++) {
      const rate = 0.01 * (step + 1)
      const gradients = new Map<string, tf.Tensor>()
      for (const { key, shape, decay } of specs) {
        const { w, m, v } = expected.get(key)!
        const g = Float32Array.from(w, () => random.normal())
        gradients.set(key, tf.tensor(g.slice(), [...shape]))
        for (const at of w.keys()) {
          m[at] = 0.8 * m[at]! + 0.2 * g[at]!
          v[at] = 0.95 * v[at]! + 0.05 * g[at]! ** 2
          const [mean, square] = [m[at]! / (1 - 0.8 ** (step + 1)), v[at]! / (1 - 0.95 ** (step + 1))]
          w[at] = w[at]! * (1 - rate * (decay ? 0.1 : 0)) - (rate * mean) / (Math.sqrt(square) + 1e-6)
        }
      }
      const before = tf.memory().numTensors - gradients.size
      optimiser.apply(weights, gradients, rate, step)
      // From the second step on nothing is added.
      if (step > 0) expect(tf.memory().numTensors).toBe(before)
      if (step === 2) {
        const other = createAdamW(options)
        for (const name of ['velocities', 'squares'] as const) {
          for (const { key, shape } of specs) other.moments[name]!.write(key, shape, (await optimiser.moments[name]!.read(key))!)
        }
        optimiser.dispose()
        optimiser = other
      }
    }
    for (const key of keys) {
      for (const [at, value] of (await weights.read(key)).entries())
        expect(value, `${key}[${at}]`).toBeCloseTo(expected.get(key)!.w[at]!, 5)
    }
    expect(await optimiser.moments.velocities!.read('absent')).toBeUndefined()
    weights.dispose()
    optimiser.dispose()
  })
})

describe('gradients', () => {
  it('are scaled down together to the norm that is allowed, and left alone below it', async () => {
    await openBackend('wasm')
    const make = () =>
      new Map<string, tf.Tensor>([
        ['a', tf.tensor1d([3, 0])],
        [
          'b',
          tf.tensor2d([
            [0, -4],
            [12, 0],
          ]),
        ],
      ])
    // √(9 + 16 + 144) = 13.
    const before = tf.memory().numTensors
    const clipped = clipGradients(make(), 2.6)
    expect([...clipped.values()].flatMap((tensor) => [...tensor.dataSync()])).toEqual(
      [0.6, 0, 0, -0.8, 2.4, 0].map((value) => expect.closeTo(value, 5)),
    )
    const small = clipGradients(make(), 13.5)
    expect([...small.values()].flatMap((tensor) => [...tensor.dataSync()])).toEqual([3, 0, 0, -4, 12, 0])
    tf.dispose([...clipped.values(), ...small.values()])
    expect(tf.memory().numTensors).toBe(before)
  })
})
