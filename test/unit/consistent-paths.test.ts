// Two paths on one mini-batch that learn from each other: gradients against finite differences of the loss that they are those of, steps of
// an agent, and the pairs that a strategy draws.

import * as tf from '@tensorflow/tfjs-core'
import { afterAll, describe, expect, it, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { consistentPathsStep, createWeights, evaluate, predict, trainStep } from '../../engine/executor/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { neededVersion, resultMismatch, searchConfigSchema, taskWorkSchema, weightStepsOf, type WorkOf } from '../../protocol/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { fillWithPaths } from '../../strategies/seat-steps.ts'
import { createBuilder, randomBatch } from './executor-graph-builder.ts'
import { openInThisThread, openInThreads } from './small-trainers.ts'
import { SMALL_SPACE, space } from './training-images.ts'

const SHAPE = [6, 6, 2] as const
const IMAGES = 8
const CLASSES = 3
const WEIGHT = 0.3
const TEMPERATURE = 2
const SMOOTHING = 0.1

/** Smooth, so that differences of float32 losses say something. */
function network(active: 0 | 1) {
  return createBuilder(SHAPE)
    .conv('stem', 4, 3)
    .norm('stem-bn')
    .activation('stem-swish', 'swish')
    .mixed('m', 0, active, [(branch) => branch.conv('m/a', 4, 1), (branch) => branch.conv('m/b', 4, 3)])
    .activation('m-swish', 'swish')
    .globalPool('pool')
    .linear('head', CLASSES)
    .build()
}
const [first, second] = [network(0), network(1)]

async function open(name: 'cpu' | 'wasm') {
  const { chosen } = await openBackend(name)
  const weights = createWeights(chosen, first.specs, 9)
  const { images: made, labels } = randomBatch(IMAGES, SHAPE, CLASSES, 1)
  const images = made()
  return {
    batch: { images, labels },
    weights,
    close() {
      images.dispose()
      weights.dispose()
    },
  }
}

/** Natural logarithms of softmax, in float64. */
function logSoftmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits)
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0))
  return logits.map((value) => value - largest - total)
}

const rowsOf = (logits: Float32Array) => Array.from({ length: IMAGES }, (_, i) => [...logits.subarray(i * CLASSES, (i + 1) * CLASSES)])

/** The formula of consistent-paths.ts by itself: what the paths say now, and what each heard from the other before. */
function lossOf(now: readonly Float32Array[], heard: readonly Float32Array[], labels: Int32Array): number {
  let sum = 0
  for (const [k, own] of now.entries()) {
    const said = rowsOf(heard[1 - k] as Float32Array)
    for (const [i, row] of rowsOf(own).entries()) {
      const hard = logSoftmax(row).map((value, c) => -value * (SMOOTHING / CLASSES + (c === labels[i] ? 1 - SMOOTHING : 0)))
      const target = logSoftmax((said[i] as number[]).map((value) => value / TEMPERATURE)).map(Math.exp)
      const soft = logSoftmax(row.map((value) => value / TEMPERATURE)).map((value, c) => -value * (target[c] as number))
      const total = (values: readonly number[]) => values.reduce((all, value) => all + value, 0)
      sum += ((1 - WEIGHT) * total(hard) + WEIGHT * TEMPERATURE ** 2 * total(soft)) / (2 * IMAGES)
    }
  }
  return sum
}

describe.each(['cpu', 'wasm'] as const)('two paths that learn from each other on %s', (name) => {
  const settings = { weight: WEIGHT, temperature: TEMPERATURE, labelSmoothing: SMOOTHING }
  const graphs = [first.graph, second.graph] as const

  test('have the loss of the formula, and its gradient with what the other says held', async () => {
    const { weights, batch, close } = await open(name)
    const say = async () => [
      await predict({ graph: first.graph, weights, images: batch.images }),
      await predict({ graph: second.graph, weights, images: batch.images }),
    ]
    const heard = await say()
    const { loss, correct, gradients } = await consistentPathsStep({ ...batch, weights, graphs, ...settings })
    expect(loss).toBeCloseTo(lossOf(heard, heard, batch.labels), 5)
    expect(correct).toBe((await evaluate({ ...batch, weights, graph: first.graph })).correct)

    for (const key of ['stem/filter', 'm/a/filter', 'm/b/filter', 'head/weights', 'stem-bn/gamma']) {
      const start = await weights.read(key)
      const gradient = (await (gradients.get(key) as tf.Tensor).data()) as Float32Array
      const largest = Math.max(...gradient.map(Math.abs))
      for (const place of [0, 1, 2, 3].map((i) => Math.floor((i * start.length) / 4))) {
        const at = async (by: number) => {
          weights.write(
            key,
            start.map((value, i) => (i === place ? value + by : value)),
          )
          return lossOf(await say(), heard, batch.labels)
        }
        const slope = ((await at(0.02)) - (await at(-0.02))) / 0.04
        expect(Math.abs(slope - (gradient[place] as number))).toBeLessThan(0.02 * largest + 1e-4)
      }
      weights.write(key, start)
    }
    tf.dispose([...gradients.values()])
    close()
  })

  test('are other ones than two that learn from labels alone, and leave no tensor behind', async () => {
    const { weights, batch, close } = await open(name)
    // Weights are made on the device when they are first read.
    tf.dispose([...(await consistentPathsStep({ ...batch, weights, graphs, ...settings })).gradients.values()])
    const tensors = tf.memory().numTensors
    const together = await consistentPathsStep({ ...batch, weights, graphs, ...settings })
    const alone = await trainStep({ ...batch, weights, graph: first.graph, labelSmoothing: SMOOTHING })
    const ofOwn = async ({ gradients }: { readonly gradients: Map<string, tf.Tensor> }) => [
      ...((await (gradients.get('m/a/filter') as tf.Tensor).data()) as Float32Array),
    ]
    const [own, halved] = [await ofOwn(together), (await ofOwn(alone)).map((value) => value / 2)]
    const largest = Math.max(...halved.map(Math.abs))
    expect(Math.max(...own.map((value, i) => Math.abs(value - (halved[i] as number))))).toBeGreaterThan(0.05 * largest)
    tf.dispose([...together.gradients.values(), ...alone.gradients.values()])
    expect(tf.memory().numTensors).toBe(tensors)
    close()
  })
})

describe('tasks of such steps', () => {
  const open: Trainer[] = []
  afterAll(async () => {
    await Promise.all(open.map((trainer) => trainer.close()))
  })
  const keep = (trainer: Trainer) => {
    open.push(trainer)
    return trainer
  }
  const config = searchConfigSchema.parse({
    name: 'pairs',
    space: SMALL_SPACE,
    dataset: { name: 'small' },
    latency: { targetMs: 100, table: { name: 'bench' } },
    seed: 5,
    strategy: { name: 'spos' },
    training: { steps: 4, batchSize: 8, learningRate: 0.1 },
  })
  const work: WorkOf<'trainWeights'> = {
    kind: 'trainWeights',
    firstStep: 0,
    paths: [
      [0, 1],
      [1, 0],
      [0, 0],
      [1, 1],
    ],
    consistency: { weight: 0.5, temperature: 1 },
    lanes: { count: 2, mergeEvery: 1 },
  }
  const nothing = async () => undefined

  it('take two paths on each mini-batch, and come to the same in threads', async () => {
    const [one, two] = [keep(await openInThisThread({ config })), keep(await openInThreads(2, { config }))]
    const { result } = await one.run(work, nothing)
    expect(weightStepsOf(work)).toBe(2)
    expect(result.images).toBe(16)
    expect(resultMismatch(work, result, { decisions: space.decisions, batchSize: 8 })).toBeNull()
    expect((await two.run(work, nothing)).result).toEqual(result)
    for (const key of one.keysOf(work)) expect(await two.weights.read(key)).toEqual(await one.weights.read(key))
  })

  it('are refused with a path too few or beside samples, and need agents that know them', () => {
    expect(taskWorkSchema.safeParse({ ...work, paths: work.paths.slice(1) }).success).toBe(false)
    expect(taskWorkSchema.safeParse({ ...work, samples: { count: 2, temper: 1 } }).success).toBe(false)
    expect(taskWorkSchema.parse(work)).toEqual(work)
    expect(neededVersion(work)).toBe(5)
  })

  it('are drawn without a common operation where a block has others, and uniformly', () => {
    const part = [
      { operations: [0, 1, 2], weights: [1, 1, 1] },
      { operations: [4], weights: [1] },
    ]
    const fill = fillWithPaths({ consistency: { weight: 0.5, temperature: 1 } })
    const round = { uniform: true } as Parameters<typeof fill>[1]['round']
    const random = createRandom(seedState('pairs', 1))
    const steps = 600
    const filled = fill({ lanes: 1, steps, part } as unknown as Parameters<typeof fill>[0], { round, mergeEvery: 1, random })
    const { paths } = filled as WorkOf<'trainWeights'>
    expect(paths).toHaveLength(2 * steps)
    const counts = [0, 0, 0]
    for (let i = 0; i < paths.length; i += 2) {
      const [one, other] = [paths[i] as number[], paths[i + 1] as number[]]
      expect(one[0]).not.toBe(other[0])
      expect([one[1], other[1]]).toEqual([4, 4])
      counts[other[0] as number]! += 1
    }
    // Of 600 draws with probability 1/3: five standard deviations.
    for (const count of counts) expect(Math.abs(count - steps / 3)).toBeLessThan(58)
  })
})
