// Layers that read parts of weights learn what they would learn if the parts were weights of their own, and nothing else changes.

import * as tf from '@tensorflow/tfjs-core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { createSgd, createWeights, evaluate, gateStep, trainStep, type Weights } from '../../engine/executor/index.ts'
import { networkWeights, sliceBegin, sliceValues, type WeightSpec } from '../../search-space/index.ts'
import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'

/** Widths of 4 and 6 of weights for 6 and 10, kernels of 3 of weights for 5 and 7. */
function sliced(): LayerGraph {
  return createBuilder([9, 9, 3])
    .conv('stem', 4, 3)
    .norm('stem-bn')
    .relu6('stem-relu')
    .depthwise('depthwise', 3, 2)
    .norm('depthwise-bn')
    .relu6('depthwise-relu')
    .conv('project', 6)
    .norm('project-bn')
    .globalPool('pool')
    .linear('head', 3)
    .build().graph
}
const WHOLE: Readonly<Record<string, number[]>> = {
  'stem/filter': [5, 5, 3, 6],
  'stem-bn/gamma': [6],
  'stem-bn/beta': [6],
  'depthwise/filter': [7, 7, 6, 1],
  'depthwise-bn/gamma': [6],
  'depthwise-bn/beta': [6],
  'project/filter': [1, 1, 6, 10],
  'project-bn/gamma': [10],
  'project-bn/beta': [10],
  'head/weights': [10, 3],
}
const graph = sliced()
const partSpecs = [...networkWeights(graph).values()]
const wholeSpecs = partSpecs.map((spec): WeightSpec => ({ ...spec, shape: WHOLE[spec.key] ?? spec.shape }))

async function partsOf(weights: Weights): Promise<Map<string, Float32Array>> {
  const parts = new Map<string, Float32Array>()
  for (const { key, shape } of partSpecs) parts.set(key, sliceValues(await weights.read(key), weights.spec(key).shape, shape))
  return parts
}

describe.each(['cpu', 'wasm'] as const)('parts of weights on %s', (name) => {
  test('are trained as weights of their own, and the rest stays as it was, velocities too', async () => {
    const { chosen } = await openBackend(name)
    const whole = createWeights(chosen, wholeSpecs, 4)
    const own = createWeights(chosen, partSpecs, 1)
    for (const [key, values] of await partsOf(whole)) own.write(key, values)
    const before = new Map<string, Float32Array>()
    for (const { key } of wholeSpecs) before.set(key, await whole.read(key))

    const settings = { momentum: 0.9, nesterov: true, weightDecay: 1e-2 }
    const [wholeSgd, ownSgd] = [createSgd(settings), createSgd(settings)]
    const startTensors = tf.memory().numTensors
    for (let step = 0; step < 3; step++) {
      const { images, labels } = randomBatch(4, [9, 9, 3], 3)
      const batch = images()
      const ofWhole = await trainStep({ graph, weights: whole, images: batch, labels })
      const ofOwn = await trainStep({ graph, weights: own, images: batch, labels })
      expect(ofWhole.loss).toBe(ofOwn.loss)
      wholeSgd.apply(whole, ofWhole.gradients, 0.1)
      ownSgd.apply(own, ofOwn.gradients, 0.1)
      batch.dispose()
    }
    // Nothing but two velocities for each key has come, and the weights that are made when they are first asked for.
    expect(tf.memory().numTensors).toBe(startTensors + 3 * partSpecs.length)
    for (const [key, values] of await partsOf(whole)) expect(values, key).toEqual(await own.read(key))

    for (const { key, shape } of wholeSpecs) {
      const part = partSpecs.find((spec) => spec.key === key)?.shape ?? []
      const begin = sliceBegin(shape, part) as number[]
      const isInside = (index: number) => {
        let rest = index
        return shape.toReversed().every((size, fromEnd) => {
          const axis = shape.length - 1 - fromEnd
          const at = rest % size
          rest = Math.floor(rest / size)
          return at >= (begin[axis] as number) && at < (begin[axis] as number) + (part[axis] as number)
        })
      }
      const after = await whole.read(key)
      const velocity = (await wholeSgd.readVelocity(key)) as Float32Array
      for (const [index, value] of (before.get(key) as Float32Array).entries()) {
        if (isInside(index)) continue
        if (after[index] !== value || velocity[index] !== 0)
          expect([key, index, after[index], velocity[index]]).toEqual([key, index, value, 0])
      }
    }
    wholeSgd.clear()
    ownSgd.clear()
    whole.dispose()
    own.dispose()
  })

  test('may be read by several branches, each its own part', async () => {
    // Kernels 3 and 5 of one filter, and the same as two filters.
    const branches = (shared: boolean) => {
      const built = createBuilder([8, 8, 3])
        .conv('stem', 4, 3, 2)
        .norm('stem-bn')
        .mixed('m', 0, 1, [(branch) => branch.depthwise('a', 3), (branch) => branch.depthwise('b', 5)])
        .globalPool('pool')
        .linear('head', 3)
        .build()
      if (!shared) return built.graph
      const text = JSON.stringify(built.graph).replaceAll('"a/filter"', '"both/filter"').replaceAll('"b/filter"', '"both/filter"')
      return JSON.parse(text) as LayerGraph
    }
    const { chosen } = await openBackend(name)
    const [together, apart] = [branches(true), branches(false)]
    const apartSpecs = [...networkWeights(apart).values()]
    const togetherSpecs = [...networkWeights(together).values()].map((spec): WeightSpec => {
      return spec.key === 'both/filter' ? { ...spec, shape: [5, 5, 4, 1] } : spec
    })
    const weights = createWeights(chosen, togetherSpecs, 2)
    const separate = createWeights(chosen, apartSpecs, 2)
    for (const { key } of apartSpecs) if (!/^[ab]\//.test(key)) separate.write(key, await weights.read(key))
    const both = await weights.read('both/filter')
    separate.write('b/filter', both)
    separate.write('a/filter', sliceValues(both, [5, 5, 4, 1], [3, 3, 4, 1]))
    const { images, labels } = randomBatch(4, [8, 8, 3], 3)
    const batch = images()
    const shared = await gateStep({ graph: together, weights, images: batch, labels })
    const expected = await gateStep({ graph: apart, weights: separate, images: batch, labels })
    expect(shared.loss).toBe(expected.loss)
    expect(shared.gateGradients).toEqual(expected.gateGradients)
    expect(await evaluate({ graph: together, weights, images: batch, labels })).toMatchObject({ loss: expected.loss })

    // A mixture runs both branches: their gradients of the one filter meet in it.
    const mixture = (of: LayerGraph): LayerGraph => ({
      layers: of.layers.map((layer) => (layer.kind === 'mixed' ? { ...layer, combination: { kind: 'sum' as const } } : layer)),
    })
    const sum = await trainStep({ graph: mixture(together), weights, images: batch, labels })
    const parts = await trainStep({ graph: mixture(apart), weights: separate, images: batch, labels })
    const filter = (await sum.gradients.get('both/filter')?.data()) as Float32Array
    const small = (await parts.gradients.get('a/filter')?.data()) as Float32Array
    const large = (await parts.gradients.get('b/filter')?.data()) as Float32Array
    for (let at = 0; at < large.length; at++) {
      const [row, column, channel] = [Math.floor(at / 20), Math.floor(at / 4) % 5, at % 4]
      const isMiddle = row >= 1 && row <= 3 && column >= 1 && column <= 3
      const own = isMiddle ? (small[((row - 1) * 3 + column - 1) * 4 + channel] as number) : 0
      expect(Math.abs((filter[at] as number) - (large[at] as number) - own)).toBeLessThan(1e-6)
    }
    tf.dispose([batch, ...sum.gradients.values(), ...parts.gradients.values()])
    weights.dispose()
    separate.dispose()
  })

  test('are refused where the weight has no such part, its name said', async () => {
    const { chosen } = await openBackend(name)
    const wrong = partSpecs.map((spec): WeightSpec => (spec.key === 'depthwise/filter' ? { ...spec, shape: [4, 4, 4, 1] } : spec))
    const weights = createWeights(chosen, wrong, 1)
    const { images, labels } = randomBatch(2, [9, 9, 3], 3)
    const batch = images()
    await expect(trainStep({ graph, weights, images: batch, labels })).rejects.toThrow(
      'weight depthwise/filter of shape [4,4,4,1] has no part of shape [3,3,4,1]',
    )
    batch.dispose()
    weights.dispose()
  })
})

test('slices of values are those of an array of arrays', () => {
  const shapes = fc
    .tuple(fc.nat(2), fc.nat(2), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.nat(2), fc.nat(2), fc.nat(3), fc.nat(3))
    .map(([k, l, c, o, dk, dl, dc, dout]) => {
      const part = [2 * k + 1, 2 * l + 1, c, o]
      return { part, whole: [2 * (k + dk) + 1, 2 * (l + dl) + 1, c + dc, o + dout] }
    })
  fc.assert(
    fc.property(shapes, ({ part, whole }) => {
      const values = Float32Array.from({ length: whole.reduce((a, b) => a * b, 1) }, (_, i) => i)
      const [p, q, c, o] = part as [number, number, number, number]
      const [h, w, n, m] = whole as [number, number, number, number]
      const expected: number[] = []
      for (let y = 0; y < p; y++)
        for (let x = 0; x < q; x++)
          for (let i = 0; i < c; i++) for (let j = 0; j < o; j++) expected.push((((y + (h - p) / 2) * w + x + (w - q) / 2) * n + i) * m + j)
      expect([...sliceValues(values, whole, part)]).toEqual(expected)
    }),
  )
})
