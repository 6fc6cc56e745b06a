// Gradients of mixtures and of importance-weighted paths against finite differences of what they are the gradients of. The networks are
// smooth, so that differences of float32 losses say something.

import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import {
  createSgd,
  createWeights,
  evaluate,
  gateStep,
  trainStep,
  unrolledStep,
  weightedPathsStep,
  type Weights,
} from '../../engine/executor/index.ts'
import { combineBranches } from '../../search-space/index.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'

const SHAPE = [6, 6, 2] as const
const P = [
  [0.5, 0.3, 0.2],
  [0.25, 0.75],
]

/** Two mixed layers, one with a zero among its branches. */
function network(active: readonly [number, number] = [0, 0]) {
  return createBuilder(SHAPE)
    .conv('stem', 4, 3)
    .norm('stem-bn')
    .activation('stem-swish', 'swish')
    .mixed('m0', 0, active[0], [
      (branch) => branch.conv('m0/a', 4, 1),
      (branch) => branch.conv('m0/b', 4, 3),
      (branch) => branch.zero('m0/zero', [6, 6, 4]),
    ])
    .norm('m0-bn')
    .activation('m0-swish', 'swish')
    .mixed('m1', 1, active[1], [(branch) => branch, (branch) => branch.conv('m1/b', 4, 3)])
    .activation('m1-swish', 'swish')
    .globalPool('pool')
    .linear('head', 3)
    .build()
}

const built = network()
const mixtureOf = (p: readonly (readonly number[])[]) =>
  combineBranches(built.graph, ({ block }) => ({ kind: 'weighted', weights: p[block] as number[] }))

/** Central differences of a function of p, [block][operation]. */
async function differences(f: (p: number[][]) => Promise<number>, step: number): Promise<number[][]> {
  const found: number[][] = []
  for (const [block, row] of P.entries()) {
    const slopes: number[] = []
    for (const operation of row.keys()) {
      const at = (by: number) => P.map((own, b) => own.map((value, o) => (b === block && o === operation ? value + by : value)))
      slopes.push(((await f(at(step))) - (await f(at(-step)))) / (2 * step))
    }
    found.push(slopes)
  }
  return found
}

/** Largest distance, as a share of the largest number. */
function distance(actual: readonly number[], expected: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs))
  return Math.max(...expected.map((value, i) => Math.abs(value - (actual[i] as number)))) / largest
}

const flat = (blocks: readonly { readonly gradients: readonly number[] }[]) => blocks.flatMap(({ gradients }) => [...gradients])

async function open(name: 'cpu' | 'wasm') {
  const { chosen } = await openBackend(name)
  const weights = createWeights(chosen, built.specs, 9)
  const batch = (seed: number) => {
    const { images, labels } = randomBatch(8, SHAPE, 3, seed)
    return { images: images(), labels }
  }
  const batches = [batch(1), batch(2)] as const
  const close = () => {
    tf.dispose(batches.map(({ images }) => images))
    weights.dispose()
  }
  return { weights, validation: batches[0], training: batches[1], close }
}

const sgdSettings = { momentum: 0.9, weightDecay: 0.01 }
const RATE = 0.5

/** Velocities as they are after a step. */
async function velocitiesOf(weights: Weights) {
  const optimiser = createSgd({ ...sgdSettings, nesterov: true })
  for (const { key, shape } of built.specs) {
    const values = await weights.read(key)
    optimiser.writeVelocity(
      key,
      shape,
      values.map((_, i) => 0.05 * Math.sin(i + key.length)),
    )
  }
  return optimiser
}

describe.each(['cpu', 'wasm'] as const)('a mixture on %s', (name) => {
  test('has the gradient of the loss by its factors, with weights frozen', async () => {
    const { weights, validation, close } = await open(name)
    const loss = async (p: number[][]) => (await evaluate({ graph: mixtureOf(p), weights, ...validation })).loss
    const { mixtureGradients } = await gateStep({ graph: mixtureOf(P), weights, ...validation })
    const expected = (await differences(loss, 1e-2)).flat()
    expect(distance(flat(mixtureGradients), expected)).toBeLessThan(0.01)
    expect(mixtureGradients[0]?.gradients[2]).toBe(0)
    close()
  })

  test('has the gradient through the weight step that comes next, and leaves weights and velocities alone', async () => {
    const { weights, validation, training, close } = await open(name)
    const optimiser = await velocitiesOf(weights)
    const before = new Map<string, Float32Array>()
    for (const { key } of built.specs) before.set(key, await weights.read(key))
    /** L_val after the step, written out: w' = w − η (μ v + dL_train/dw + d w). */
    const lossAfter = async (p: number[][]) => {
      const { chosen } = await openBackend(name)
      const { gradients } = await trainStep({ graph: mixtureOf(p), weights, ...training, labelSmoothing: 0.1 })
      const ahead = createWeights(chosen, built.specs, 9)
      for (const [key, gradient] of gradients) {
        const slope = (await gradient.data()) as Float32Array
        const velocity = (await optimiser.readVelocity(key)) as Float32Array
        const decay = weights.spec(key).decay ? sgdSettings.weightDecay : 0
        const start = before.get(key) as Float32Array
        ahead.write(
          key,
          start.map((w, i) => w - RATE * (sgdSettings.momentum * (velocity[i] as number) + (slope[i] as number) + decay * w)),
        )
      }
      tf.dispose([...gradients.values()])
      const { loss } = await evaluate({ graph: mixtureOf(p), weights: ahead, ...validation })
      ahead.dispose()
      return loss
    }
    const input = {
      graph: mixtureOf(P),
      weights,
      ...validation,
      training,
      optimiser,
      ...sgdSettings,
      learningRate: RATE,
      labelSmoothing: 0.1,
    }
    const { loss, mixtureGradients } = await unrolledStep(input)
    expect(loss).toBeCloseTo(await lossAfter(P), 5)
    const expected = (await differences(lossAfter, 1e-2)).flat()
    expect(distance(flat(mixtureGradients), expected)).toBeLessThan(0.03)
    // The second term is not small here: without it the gradient is another one.
    const first = await gateStep({ graph: mixtureOf(P), weights, ...validation })
    expect(distance(flat(first.mixtureGradients), expected)).toBeGreaterThan(0.1)

    const tensors = tf.memory().numTensors
    await unrolledStep(input)
    expect(tf.memory().numTensors).toBe(tensors)
    for (const [key, values] of before) expect(await weights.read(key)).toEqual(values)
    optimiser.clear()
    close()
  })
})

describe.each(['cpu', 'wasm'] as const)('paths that are weighed by importance on %s', (name) => {
  const graphs = (
    [
      [0, 0],
      [1, 1],
      [0, 1],
    ] as const
  ).map((active) => network(active).graph)
  const TEMPER = 20

  test('have the gradient of the marginal likelihood that they stand for, and the weights of its softmax', async () => {
    const { weights, training, close } = await open(name)
    const lossesOf = async () => {
      const losses: number[] = []
      for (const graph of graphs) losses.push((await evaluate({ graph, weights, ...training })).loss)
      return losses
    }
    const negativeLog = async () => -Math.log((await lossesOf()).reduce((sum, loss) => sum + Math.exp(-TEMPER * loss) / 3, 0)) / TEMPER
    const { loss, importances, gradients } = await weightedPathsStep({ graphs, weights, ...training, temper: TEMPER })

    const losses = await lossesOf()
    const powers = losses.map((value) => Math.exp(-TEMPER * value))
    const total = powers.reduce((sum, value) => sum + value, 0)
    for (const [k, importance] of importances.entries()) expect(importance).toBeCloseTo((powers[k] as number) / total, 4)
    expect(loss).toBeCloseTo(
      losses.reduce((sum, value, k) => sum + value * (importances[k] as number), 0),
      5,
    )
    // Neither one of them alone nor their mean.
    expect(Math.max(...importances)).toBeLessThan(0.9)
    expect(Math.max(...importances) - Math.min(...importances)).toBeGreaterThan(0.05)

    for (const key of ['stem/filter', 'm0/a/filter', 'm0/b/filter', 'm1/b/filter', 'head/weights', 'm0-bn/gamma']) {
      const start = await weights.read(key)
      const gradient = (await (gradients.get(key) as tf.Tensor).data()) as Float32Array
      const places = [0, 1, 2, 3].map((i) => Math.floor((i * start.length) / 4))
      const slopes: number[] = []
      for (const place of places) {
        const at = async (by: number) => {
          weights.write(
            key,
            start.map((value, i) => (i === place ? value + by : value)),
          )
          return negativeLog()
        }
        slopes.push(((await at(0.02)) - (await at(-0.02))) / 0.04)
      }
      weights.write(key, start)
      const own = places.map((place) => gradient[place] as number)
      const largest = Math.max(...gradient.map(Math.abs))
      for (const [i, slope] of slopes.entries()) expect(Math.abs(slope - (own[i] as number))).toBeLessThan(0.02 * largest + 1e-4)
    }
    tf.dispose([...gradients.values()])
    close()
  })

  test('leave one that adds nothing out, and no tensor behind', async () => {
    const { weights, training, close } = await open(name)
    const step = async () => {
      const done = await weightedPathsStep({ graphs, weights, ...training, temper: 1e6 })
      tf.dispose([...done.gradients.values()])
      return done
    }
    const { importances, gradients } = await step()
    expect(importances.toSorted()).toEqual([0, 0, 1])
    // Of a weight that only the others read there is no gradient at all, so that the optimiser leaves it as it is.
    const best = importances.indexOf(1)
    expect(gradients.has('m1/b/filter')).toBe(best !== 0)
    const tensors = tf.memory().numTensors
    await step()
    expect(tf.memory().numTensors).toBe(tensors)
    close()
  })
})
