import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { openBackend } from '../../engine/backends/backends.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { type FromScratchOptions, type FromScratchResult, trainFromScratch } from '../../engine/training/from-scratch.ts'
import { recipeSchema } from '../../protocol/recipe.ts'
import { path, smallDataset, space } from './training-images.ts'

/** Everything on: whatever is not restored shows. */
const EVERYTHING = {
  epochs: 3,
  batchSize: 24,
  warmupEpochs: 1,
  averageDecay: 0.9,
  dropout: 0.2,
  statisticsBatches: 4,
  augmentation: { flip: false, shift: 1, cutout: 2, brightness: 0.2, contrast: 0.2, saturation: 0.2 },
}
/** The class is a place in the image. */
const PLAIN = { batchSize: 24, statisticsBatches: 4, learningRate: 0.1, augmentation: { flip: false, shift: 0 } }
const NEVER = { everyEpochs: 1e6, everyMs: Number.POSITIVE_INFINITY }

async function options(recipe: object, more: Partial<FromScratchOptions> = {}): Promise<FromScratchOptions> {
  const { chosen } = await openBackend('wasm')
  return { backend: chosen, dataset: smallDataset(), space, path, recipe: recipeSchema.parse(recipe), seed: 3, ...more }
}

const train = async (recipe: object, more: Partial<FromScratchOptions> = {}) => trainFromScratch(await options(recipe, more))

/** Weights and statistics as plain lists of bits. */
function bitsOf({ weights, statistics }: FromScratchResult) {
  const bits = (values: Float32Array) => [...new Uint32Array(values.slice().buffer)]
  return {
    weights: [...weights].map(([key, { values }]) => [key, bits(values)]),
    statistics: [...statistics].map(([key, { mean, variance }]) => [key, bits(mean), bits(variance)]),
  }
}

/** Trains until `step` and gives the checkpoint made there, through its bytes. */
async function interruptedAt(step: number, recipe: object): Promise<Checkpoint> {
  const stop = new AbortController()
  let bytes: Uint8Array | undefined
  const checkpoints = { ...NEVER, save: (checkpoint: Checkpoint) => void (bytes = encodeCheckpoint(checkpoint)) }
  const onStep = (done: number) => {
    if (done === step) stop.abort(new Error('stop here'))
  }
  await expect(train(recipe, { checkpoints, onStep, signal: stop.signal })).rejects.toThrow('stop here')
  return decodeCheckpoint(bytes as Uint8Array)
}

describe('a training that goes on from a checkpoint', () => {
  // 216 images to train on, 9 mini-batches an epoch.
  test.each([1, 9, 13, 26])('ends with exactly the weights of an undisturbed one: broken off after %i of 27 steps', async (step) => {
    const whole = await train(EVERYTHING, { test: true })
    const checkpoint = await interruptedAt(step, EVERYTHING)
    expect(checkpoint.step).toBe(step)
    const steps: number[] = []
    const resumed = await train(EVERYTHING, { checkpoint, test: true, onStep: (done) => void steps.push(done) })
    expect(steps).toEqual(Array.from({ length: 27 - step }, (_, i) => step + 1 + i))
    expect(bitsOf(resumed)).toEqual(bitsOf(whole))
    expect(resumed.reports).toEqual(whole.reports)
    expect({ ...resumed.validation, ...resumed.test }).toEqual({ ...whole.validation, ...whole.test })
  })

  test('evaluates first where it was broken off while it evaluated', async () => {
    const whole = await train(EVERYTHING)
    const stop = new AbortController()
    let kept: Checkpoint | undefined
    const onStep = (done: number) => {
      // Later than the step, in the midst of the epoch's evaluation.
      if (done === 18) setImmediate(() => setImmediate(() => stop.abort(new Error('stop here'))))
    }
    const checkpoints = { ...NEVER, save: (checkpoint: Checkpoint) => void (kept = checkpoint) }
    await expect(train(EVERYTHING, { checkpoints, onStep, signal: stop.signal })).rejects.toThrow('stop here')
    expect(kept).toMatchObject({ step: 18, reports: [{ step: 9 }] })
    const resumed = await train(EVERYTHING, { checkpoint: kept })
    expect(bitsOf(resumed)).toEqual(bitsOf(whole))
    expect(resumed.reports).toEqual(whole.reports)
  })

  test('is done when the checkpoint is from the end: it only evaluates', async () => {
    let last: Checkpoint | undefined
    const whole = await train(EVERYTHING, { checkpoints: { ...NEVER, save: (checkpoint) => void (last = checkpoint) } })
    expect(last?.step).toBe(27)
    const again = await train(EVERYTHING, {
      checkpoint: last,
      onStep: () => {
        throw new Error('trained again')
      },
    })
    expect(bitsOf(again)).toEqual(bitsOf(whole))
  })

  test('refuses a checkpoint of another training, and names what differs with both values', async () => {
    const checkpoint = await interruptedAt(2, EVERYTHING)
    const other = { ...EVERYTHING, learningRate: 0.2, augmentation: { ...EVERYTHING.augmentation, cutout: 3 } }
    const dataset = { ...smallDataset(), name: 'renamed', fingerprint: 'b'.repeat(64) }
    const refused = await train(other, { checkpoint, seed: 4, dataset, path: [1, 1] }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'does-not-fit' })
    const { errors } = refused as { errors: { path: string; message: string }[] }
    const said = Object.fromEntries(errors.map(({ path, message }) => [path, message]))
    expect(Object.keys(said)).toEqual(
      expect.arrayContaining([
        'architecture',
        'network',
        'dataset.fingerprint',
        'recipe.learningRate',
        'recipe.augmentation.cutout',
        'seed',
      ]),
    )
    expect(said).not.toHaveProperty('dataset.name')
    expect(said['recipe.learningRate']).toBe('the checkpoint has 0.05, this training 0.2')
    expect(said['architecture']).toBe('the checkpoint has "small:mb2k3,mb2k5", this training "small:mb2k5,mb2k5"')
  })
})

describe('checkpoints', () => {
  test('are made at the end of every so many epochs, and of the training', async () => {
    const steps: number[] = []
    const save = ({ step }: Checkpoint) => void steps.push(step)
    await train({ ...PLAIN, epochs: 5 }, { checkpoints: { everyEpochs: 2, everyMs: Number.POSITIVE_INFINITY, save } })
    expect(steps).toEqual([18, 36, 45])
  })

  test('are made after every step where no time may be lost', async () => {
    const steps: number[] = []
    const save = ({ step }: Checkpoint) => void steps.push(step)
    await train({ ...PLAIN, steps: 4 }, { checkpoints: { everyEpochs: 1, everyMs: 0, save } })
    expect(steps).toEqual([1, 2, 3, 4])
  })
})

describe('a training', () => {
  test('learns, reports every epoch, leaves the test split alone unless asked, and leaves nothing in memory', async () => {
    await openBackend('wasm')
    const before = tf.memory().numTensors
    const dataset = smallDataset()
    const untouched = { ...dataset, test: { ...dataset.test, images: new Uint8Array(0), labels: new Uint8Array(0) } }
    const result = await train({ ...PLAIN, epochs: 4, averageDecay: 0.5, dropout: 0.1 }, { dataset: untouched })
    expect(result.test).toBeNull()
    expect(result.end).toBe('finished')
    expect(result.reports.map(({ epoch, step }) => [epoch, step])).toEqual([
      [1, 9],
      [2, 18],
      [3, 27],
      [4, 36],
    ])
    expect(result.validation).toEqual(result.reports.at(-1)?.validation)
    expect(result.validation.images).toBe(24)
    expect(result.validation.top1).toBeGreaterThan(0.6)
    expect(result.validation.top5).toBeGreaterThanOrEqual(result.validation.top1)
    expect(result.reports.at(-1)!.trainLoss).toBeLessThan(result.reports[0]!.trainLoss)
    expect(tf.memory().numTensors).toBe(before)
  })

  test('evaluates as often as it is told, and always at the end', async () => {
    const { reports } = await train({ ...PLAIN, steps: 31, evaluateEvery: 2 })
    expect(reports.map(({ step, validation }) => [step, validation !== null])).toEqual([
      [9, false],
      [18, true],
      [27, false],
      [31, true],
    ])
  })

  test('that is hopeless ends after the epoch named, one that is not goes on', async () => {
    const recipe = { ...PLAIN, epochs: 4, learningRate: 1e-6, evaluateEvery: 0, stopBelow: { accuracy: 0.9, epoch: 2 } }
    const hopeless = await train(recipe, { test: true })
    expect(hopeless.end).toBe('stopped')
    expect(hopeless.reports.map(({ step }) => step)).toEqual([9, 18])
    expect(hopeless.test).toBeNull()
    const fine = await train({ ...PLAIN, epochs: 3, stopBelow: { accuracy: 0, epoch: 2 } })
    expect(fine.end).toBe('finished')
  })

  test('whose loss is no number any more ends at once and says what to do', async () => {
    await expect(train({ ...PLAIN, epochs: 3, learningRate: 100, momentum: 0.99, weightDecay: 1 })).rejects.toThrow(
      /is (NaN|-?Infinity) at step \d+ of 27: use a smaller learningRate/,
    )
  })

  test('with too few images is refused', async () => {
    await expect(train({ ...PLAIN, batchSize: 300 })).rejects.toThrow('216 images are left to train on, fewer than one mini-batch of 300')
    await expect(train({ ...PLAIN, validationShare: 0.001 })).rejects.toThrow('no image of 240 is left to validate with')
  })

  test('starts from the weights given', async () => {
    const first = await train({ ...PLAIN, epochs: 4 })
    const initial = { fingerprint: 'c'.repeat(64), tensors: first.weights }
    // A rate too small to change a float32 weight of this size.
    const { weights, identity } = await train({ ...PLAIN, steps: 1, learningRate: 1e-30 }, { initial })
    expect(identity.initial).toBe(initial.fingerprint)
    for (const [key, { values }] of first.weights) expect(weights.get(key)?.values, key).toEqual(values)
  })

  test('learns from a teacher alone, labels left out', async () => {
    await openBackend('wasm')
    // The teacher reads the class off the image, where the label is of another class.
    const dataset = smallDataset()
    const trainLabels = dataset.train.labels.map((label) => (label + 1) % 6)
    const misled = { ...dataset, train: { ...dataset.train, labels: trainLabels } }
    const teacher = {
      fingerprint: 'd'.repeat(64),
      logits: (images: tf.Tensor4D) => tf.tidy(() => tf.mul(tf.mean(images, [1, 3]), 8) as tf.Tensor2D),
    }
    const recipe = { ...PLAIN, epochs: 4, distillation: { weight: 1, temperature: 1 } }
    const { test } = await train(recipe, { dataset: misled, teacher, test: true })
    // The test labels are the true ones.
    expect(test?.top1).toBeGreaterThan(0.6)
  })

  test('decays filters and matrices, not batch-norm or biases', async () => {
    const start = await train({ ...PLAIN, steps: 1, learningRate: 1e-30 })
    const undecayed = await train({ ...PLAIN, steps: 1, learningRate: 1e-3, momentum: 0, weightDecay: 0 })
    const decayed = await train({ ...PLAIN, steps: 1, learningRate: 1e-3, momentum: 0, weightDecay: 1 })
    for (const [key, { values }] of start.weights) {
      const decays = /filter$|weights$/.test(key)
      const largest = Math.max(...values.map(Math.abs))
      for (const [i, value] of values.entries()) {
        const moved = decayed.weights.get(key)!.values[i]! - undecayed.weights.get(key)!.values[i]!
        expect(Math.abs(moved - (decays ? -1e-3 * value : 0)), key).toBeLessThan(1e-6 * Math.max(1, largest))
      }
    }
  })
})
