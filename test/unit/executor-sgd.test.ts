import * as tf from '@tensorflow/tfjs-core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { WeightSpec } from '../../search-space/layer-graph.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { cosineRate, createSgd, createWeights } from '../../engine/executor/index.ts'

const specs: WeightSpec[] = [
  { key: 'filter', shape: [7], initialiser: { kind: 'uniform-fan-in', fanIn: 1 }, decay: true },
  { key: 'gamma', shape: [7], initialiser: { kind: 'ones' }, decay: false },
]

/** PyTorch's SGD in float64, one weight. */
function referenceStep(
  state: { w: number; v: number | undefined },
  gradient: number,
  options: { rate: number; momentum: number; nesterov: boolean; decay: number },
): { w: number; v: number } {
  const g = gradient + options.decay * state.w
  const v = state.v === undefined ? g : options.momentum * state.v + g
  return { w: state.w - options.rate * (options.nesterov ? g + options.momentum * v : v), v }
}

describe.each(['cpu', 'wasm'] as const)('createSgd on %s', (name) => {
  test('follows the written-out update over several steps, decaying only what decays', async () => {
    const { chosen } = await openBackend(name)
    const number = fc.double({ min: -2, max: 2, noNaN: true })
    await fc.assert(
      fc.asyncProperty(
        fc.array(number, { minLength: 2, maxLength: 6 }),
        fc.boolean(),
        fc.constantFrom(0, 0.9),
        fc.constantFrom(0, 1e-2),
        async (gradients, nesterov, momentum, weightDecay) => {
          const weights = createWeights(chosen, specs, 3)
          const sgd = createSgd({ momentum, nesterov, weightDecay })
          const states = new Map<string, { w: number; v: number | undefined }>()
          for (const { key } of specs) states.set(key, { w: (await weights.read(key))[4]!, v: undefined })
          for (const gradient of gradients) {
            const batch = specs.map(({ key }) => [key, tf.mul(tf.ones([7]), gradient)] as const)
            sgd.apply(weights, new Map(batch), 0.1)
            for (const { key, decay } of specs) {
              const options = { rate: 0.1, momentum, nesterov, decay: decay ? weightDecay : 0 }
              states.set(key, referenceStep(states.get(key)!, gradient, options))
            }
          }
          for (const [key, { w, v }] of states) {
            expect((await weights.read(key))[4]).toBeCloseTo(w, 5)
            expect((await sgd.readVelocity(key))?.[4]).toBeCloseTo(v as number, 5)
          }
          sgd.clear()
          weights.dispose()
        },
      ),
      { numRuns: 15 },
    )
  })

  test('touches only the keys that have a gradient', async () => {
    const { chosen } = await openBackend(name)
    const weights = createWeights(chosen, specs, 3)
    const before = await weights.read('gamma')
    const sgd = createSgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 })
    sgd.apply(weights, new Map([['filter', tf.ones([7])]]), 0.1)
    expect(await weights.read('gamma')).toEqual(before)
    expect([...sgd.velocities.keys()]).toEqual(['filter'])
    sgd.clear()
    weights.dispose()
  })
})

test('the cosine rate falls from the base to zero', () => {
  expect(cosineRate(0, 10, 0.4)).toBeCloseTo(0.4)
  expect(cosineRate(5, 10, 0.4)).toBeCloseTo(0.2)
  expect(cosineRate(10, 10, 0.4)).toBeCloseTo(0)
  expect(cosineRate(12, 10, 0.4)).toBeCloseTo(0)
})
