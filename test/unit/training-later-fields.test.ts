// The fields of a recipe that came after version 0.1.0, in trainings as a whole: each does what it says, goes on from a checkpoint to the same
// bits, and in threads does what it does in one.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { afterAll, describe, expect, test } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { balancedIndices, splitStratified } from '../../engine/datasets/index.ts'
import { trainStep } from '../../engine/executor/index.ts'
import { createWeights } from '../../engine/executor/weights.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { type FromScratchOptions, type FromScratchResult, trainFromScratch } from '../../engine/training/from-scratch.ts'
import { scheduleOf, rateAt } from '../../engine/training/schedule.ts'
import { createTeacher } from '../../engine/training/teacher.ts'
import { readInitialWeights } from '../../models/initial-weights.ts'
import { encodeSafetensors, neededVersion, recipeSchema, trainingVersion } from '../../protocol/index.ts'
import { createSpace, initialWeights, parseArchitecture } from '../../search-space/index.ts'
import { path, smallDataset, SMALL_SPACE, space } from './training-images.ts'

const NEVER = { everyEpochs: 1e6, everyMs: Number.POSITIVE_INFINITY }
/** 8 mini-batches of 26 an epoch. */
const EVERYTHING = {
  epochs: 3,
  batchSize: 26,
  learningRate: 0.02,
  minimumRate: 0.001,
  optimiser: 'adamw',
  adam: { beta1: 0.8 },
  weightDecay: 0.01,
  clipNorm: 0.5,
  averageDecay: 0.9,
  dropout: 0.2,
  statisticsBatches: 4,
  augmentation: { flip: false, shift: 1, trivial: true, erase: 0.4, mixup: 0.8, cutmix: 1 },
  stratify: true,
  sampling: 'balanced',
  keep: 'best',
}

type Trained = FromScratchResult & { readonly losses: readonly number[] }

async function train(recipe: object, more: Partial<FromScratchOptions> = {}): Promise<Trained> {
  const { chosen } = await openBackend('wasm')
  const losses: number[] = []
  const onStep = (_: number, __: object, loss: number) => void losses.push(loss)
  const trained = await trainFromScratch({
    backend: chosen,
    dataset: smallDataset(),
    space,
    path,
    recipe: recipeSchema.parse(recipe),
    seed: 3,
    onStep,
    ...more,
  })
  return { ...trained, losses }
}

function bitsOf({ weights, statistics }: FromScratchResult) {
  const bits = (values: Float32Array) => [...new Uint32Array(values.slice().buffer)]
  return {
    weights: [...weights].map(([key, { values }]) => [key, bits(values)]),
    statistics: [...statistics].map(([key, { mean, variance }]) => [key, bits(mean), bits(variance)]),
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-later-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a training with every field', () => {
  test.each([1, 2])('broken off in %i threads goes on to the same bits, losses and reports', async (threads) => {
    const whole = await train(EVERYTHING, { threads, test: true })
    for (const step of threads === 1 ? [1, 17] : [17]) {
      const stop = new AbortController()
      let bytes: Uint8Array | undefined
      const checkpoints = { ...NEVER, save: (checkpoint: Checkpoint) => void (bytes = encodeCheckpoint(checkpoint)) }
      const onStep = (done: number) => {
        if (done === step) stop.abort(new Error('stop here'))
      }
      await expect(train(EVERYTHING, { threads, checkpoints, onStep, signal: stop.signal })).rejects.toThrow('stop here')
      const checkpoint = decodeCheckpoint(bytes as Uint8Array)
      expect([checkpoint.step, checkpoint.squares.size > 0, checkpoint.bestModel.size > 0]).toEqual([step, true, step > 8])
      const resumed = await train(EVERYTHING, { threads, checkpoint, test: true })
      expect(resumed.losses).toEqual(whole.losses.slice(step))
      expect(bitsOf(resumed)).toEqual(bitsOf(whole))
      expect({ test: resumed.test, validation: resumed.validation, reports: resumed.reports }).toEqual({
        test: whole.test,
        validation: whole.validation,
        reports: whole.reports,
      })
    }
  })

  test('in threads is that of as many micro-batches in one, to the last bit', async () => {
    // With dropout each thread draws its own numbers.
    const recipe = { ...EVERYTHING, dropout: 0 }
    const one = await train(recipe, { accumulate: 2, test: true })
    const two = await train(recipe, { threads: 2, test: true })
    expect(two.losses).toEqual(one.losses)
    expect(bitsOf(two)).toEqual(bitsOf(one))
    expect(two.test?.top1).toBe(one.test?.top1)
  })
})

describe('keep', () => {
  test('best writes the weights of the best evaluation, and tests those', async () => {
    // So large a rate that later epochs are worse than earlier ones.
    const recipe = { ...EVERYTHING, optimiser: 'sgd', learningRate: 1.5, clipNorm: 0, epochs: 6, averageDecay: 0 }
    const best = await train(recipe, { test: true })
    const tops = best.reports.map(({ validation }) => validation!.top1)
    const at = tops.indexOf(Math.max(...tops))
    expect(at).toBeLessThan(5)
    expect(best.validation).toEqual(best.reports[at]!.validation)
    // The same training with its end there: a longer schedule would have other rates, so the steps are those of the same one.
    const stop = new AbortController()
    let kept: Checkpoint | undefined
    const checkpoints = { ...NEVER, save: (checkpoint: Checkpoint) => void (kept = checkpoint) }
    const onReport = ({ epoch }: { epoch: number }) => {
      if (epoch === at + 1) stop.abort(new Error('stop here'))
    }
    await expect(train(recipe, { checkpoints, onReport, signal: stop.signal })).rejects.toThrow('stop here')
    for (const [key, { values }] of best.weights) expect([key, values]).toEqual([key, kept!.weights.get(key)!.values])
    const last = await train({ ...recipe, keep: 'last' }, { test: true })
    expect(last.validation).toEqual(best.reports.at(-1)!.validation)
    expect(bitsOf(last).weights).not.toEqual(bitsOf(best).weights)
  })
})

describe('patience', () => {
  test('ends a training after so many evaluations without a better one, with the network', async () => {
    const recipe = { ...EVERYTHING, optimiser: 'sgd', learningRate: 1.5, clipNorm: 0, epochs: 20, averageDecay: 0, patience: 2 }
    const ended = await train(recipe)
    const tops = ended.reports.map(({ validation }) => validation!.top1)
    const best = tops.indexOf(Math.max(...tops))
    expect(tops.length).toBe(best + 3)
    expect(tops.length).toBeLessThan(20)
    expect(ended).toMatchObject({ end: 'finished', steps: 8 * tops.length, schedule: { steps: 160 } })
    expect(ended.validation.top1).toBe(tops[best])
  })
})

describe('the rate', () => {
  test('falls to its minimum, and from it warms up as before', () => {
    const schedule = scheduleOf(recipeSchema.parse({ steps: 12, warmupEpochs: 0.2, batchSize: 10 }), 200)
    expect(schedule.warmupSteps).toBe(4)
    const rates = Array.from({ length: 13 }, (_, step) => rateAt(step, schedule, 0.5, 0.1))
    expect(rates.slice(0, 5)).toEqual([0.125, 0.25, 0.375, 0.5, 0.5])
    expect(rates[8]).toBeCloseTo(0.3, 12)
    expect(rates[12]).toBeCloseTo(0.1, 12)
  })
})

describe('mixed labels', () => {
  test('give the mixture of the losses and gradients of both labels', async () => {
    const { chosen } = await openBackend('wasm')
    const graph = space.network(path)
    const weights = createWeights(chosen, space.weightSpecs, 5)
    const images = tf.randomNormal([6, ...space.input], 0, 1, 'float32', 4) as tf.Tensor4D
    const [labels, others] = [Int32Array.of(0, 1, 2, 3, 4, 5), Int32Array.of(5, 4, 3, 2, 1, 0)]
    const step = async (of: Int32Array, more = {}) => {
      const { loss, correct, gradients } = await trainStep({ graph, weights, images, labels: of, labelSmoothing: 0.1, ...more })
      const values = new Map([...gradients].map(([key, tensor]) => [key, [...tensor.dataSync()]]))
      tf.dispose([...gradients.values()])
      return { loss, correct, values }
    }
    const [one, two] = [await step(labels), await step(others)]
    const mixed = await step(labels, { mixed: { labels: others, share: 0.7 } })
    expect(mixed.loss).toBeCloseTo(0.7 * one.loss + 0.3 * two.loss, 5)
    expect(mixed.correct).toBe(one.correct)
    for (const [key, values] of mixed.values) {
      for (const [at, value] of values.entries())
        expect(value).toBeCloseTo(0.7 * one.values.get(key)![at]! + 0.3 * two.values.get(key)![at]!, 5)
    }
    images.dispose()
    weights.dispose()
  })
})

describe('classes that differ in size', () => {
  /** 60 images of class 0, 12 of class 1, 3 of class 2. */
  const labels = Uint8Array.from({ length: 75 }, (_, at) => (at % 25 === 0 ? 2 : at % 6 === 1 ? 1 : 0))
  const counts = (indices: Uint32Array) => [0, 1, 2].map((label) => indices.filter((index) => labels[index] === label).length)

  test('are seen as often where sampling is balanced, each image of a class as often as another', () => {
    const share = Uint32Array.from({ length: 70 }, (_, at) => at)
    const all = Uint32Array.from(Array.from({ length: 600 }, (_, step) => [...balancedIndices(share, labels, 10, step, 'seed')]).flat())
    for (const count of counts(all)) expect(Math.abs(count - 2000)).toBeLessThan(5 * Math.sqrt(6000 * (1 / 3) * (2 / 3)))
    const rare = share.filter((index) => labels[index] === 1)
    const times = Array.from(rare, (index) => all.filter((drawn) => drawn === index).length)
    for (const time of times) expect(Math.abs(time - 2000 / rare.length)).toBeLessThan(5 * Math.sqrt(2000 / rare.length))
    expect(Math.max(...all)).toBeLessThan(70)
    expect(balancedIndices(share, labels, 10, 7, 'seed')).toEqual(all.slice(70, 80))
  })

  test('have the same part in a stratified share', () => {
    for (const seed of [1, 2, 3]) {
      const { train: most, validation } = splitStratified(labels, seed, 0.2)
      expect([...most, ...validation].sort((a, b) => a - b)).toEqual(Array.from(labels, (_, at) => at))
      const [a, b, c] = counts(validation) as [number, number, number]
      const [all0, all1, all2] = counts(Uint32Array.from(labels, (_, at) => at)) as [number, number, number]
      for (const [got, all] of [
        [a, all0],
        [b, all1],
        [c, all2],
      ] as const)
        expect(Math.abs(got - all * 0.2)).toBeLessThanOrEqual(1)
      expect(validation.length).toBe(15)
    }
    expect(splitStratified(labels, 1, 0.2).validation).not.toEqual(splitStratified(labels, 2, 0.2).validation)
  })
})

describe('a normalisation', () => {
  test('of the recipe takes the place of that of the data, and is refused for other channels', async () => {
    const normalisation = { mean: [0.5, 0.4, 0.3], std: [0.3, 0.3, 0.4] }
    const said = await train({ ...EVERYTHING, normalisation })
    const given = await train(EVERYTHING, { dataset: { ...smallDataset(), normalisation } })
    expect(bitsOf(said)).toEqual(bitsOf(given))
    expect(bitsOf(said)).not.toEqual(bitsOf(await train(EVERYTHING)))
    await expect(train({ ...EVERYTHING, normalisation: { mean: [0.5], std: [0.2] } })).rejects.toThrow(
      'has 1 means and 1 deviations to normalise by, the images have 3 channels',
    )
  })

  test('of a teacher is its own: it sees the images as those that it was trained on', async () => {
    const { weights, statistics } = await train({ ...EVERYTHING, steps: 2, epochs: undefined })
    const student = { mean: [0.25, 0.25, 0.25], std: [0.2, 0.2, 0.2] }
    const normalisation = { mean: [0.5, 0.4, 0.3], std: [0.3, 0.25, 0.4] }
    const model = { space: SMALL_SPACE, architecture: 'small:mb2k3,mb2k5', normalisation, weights, statistics }
    const pixels = tf.randomUniform([4, ...space.input], 0, 1, 'float32', 1) as tf.Tensor4D
    const as = ({ mean, std }: typeof student) => tf.div(tf.sub(pixels, mean), std) as tf.Tensor4D
    const teacher = createTeacher(model, { ...smallDataset(), normalisation: student })
    const alike = createTeacher(model, { ...smallDataset(), normalisation })
    const logits = [...teacher.logits(as(student)).dataSync()]
    for (const [at, value] of alike.logits(as(normalisation)).dataSync().entries()) expect(logits[at]).toBeCloseTo(value, 3)
    teacher.dispose()
    alike.dispose()
    // In threads each has its own.
    const dataset = { ...smallDataset(), normalisation: student }
    const taught = createTeacher(model, dataset)
    const recipe = { steps: 2, batchSize: 26, distillation: { weight: 0.7, temperature: 3 } }
    const one = await train(recipe, { teacher: taught, dataset, accumulate: 2 })
    const two = await train(recipe, { teacher: taught, dataset, threads: 2 })
    for (const [step, loss] of two.losses.entries()) expect(loss).toBeCloseTo(one.losses[step] as number, 5)
    taught.dispose()
  })
})

describe('weights of a network of other classes', () => {
  test('are taken but for the classifier, which is that of the seed', async () => {
    const { weights } = await train({ steps: 2, batchSize: 26 })
    const file = join(folder, 'six.safetensors')
    writeFileSync(file, encodeSafetensors({ metadata: {}, tensors: weights }, 'F32'))
    const other = createSpace({ ...SMALL_SPACE, classes: 4 })
    const same = parseArchitecture(other, 'small:mb2k3,mb2k5')
    expect(() => readInitialWeights(file, other, same)).toThrow(
      /classifier\/conv\/linear\.weights of shape \[8,4\], which is \[8,6\] there/,
    )
    const { tensors, fingerprint } = readInitialWeights(file, other, same, { parts: ['classifier'], seed: 3 })
    const specs = new Map(other.weightSpecs.map((spec) => [spec.key, spec]))
    for (const [key, { shape, values }] of tensors) {
      const expected = key.startsWith('classifier/') ? initialWeights(specs.get(key)!, 3) : weights.get(key)!.values
      expect([key, shape, values]).toEqual([key, specs.get(key)!.shape, expected])
    }
    expect(readInitialWeights(file, other, same, { parts: ['classifier'], seed: 4 }).fingerprint).not.toBe(fingerprint)
    expect(() => readInitialWeights(file, other, same, { parts: ['head/con'], seed: 3 })).toThrow(
      'no weight of the network is of the part head/con; it has stem,',
    )
    // With all of it excepted nothing is left of the file.
    const parts = [...new Set([...tensors.keys()].map((key) => key.split('/')[0] as string))]
    expect(onlyRandom(readInitialWeights(file, other, same, { parts, seed: 3 }).tensors)).toBe(true)

    function onlyRandom(found: typeof tensors): boolean {
      return [...found].every(([key, { values }]) => values.every((value, at) => value === initialWeights(specs.get(key)!, 3)[at]))
    }
  })
})

describe('agents of version 0.1.0', () => {
  test('are given recipes that they know only', () => {
    const work = (recipe: object) => ({
      kind: 'trainArchitecture' as const,
      path: [0],
      start: 'scratch' as const,
      recipe: recipeSchema.parse(recipe),
      seed: 1,
    })
    expect([trainingVersion(recipeSchema.parse({ steps: 3 })), neededVersion(work({ steps: 3 }))]).toEqual([1, 2])
    for (const recipe of [{ optimiser: 'adamw' }, { minimumRate: 0 }, { augmentation: { erase: 0.1 } }, { keep: 'last' }]) {
      expect([trainingVersion(recipeSchema.parse(recipe)), neededVersion(work(recipe))]).toEqual([3, 3])
    }
  })
})
