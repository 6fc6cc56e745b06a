// One network in several threads: each step is that of the same parts as micro-batches in one thread, to the last bit.

import * as tf from '@tensorflow/tfjs-core'
import { describe, expect, test } from 'vitest'

import { recipeSchema } from '../../protocol/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { type FromScratchOptions, type FromScratchResult, trainFromScratch } from '../../engine/training/from-scratch.ts'
import { createTeacher } from '../../engine/training/teacher.ts'
import { chooseThreads } from '../../engine/training/threads/choose-threads.ts'
import { startTeam, TrainingThreadError } from '../../engine/training/threads/thread-team.ts'
import { path, smallDataset, SMALL_SPACE, space } from './training-images.ts'

const NEVER = { everyEpochs: 1e6, everyMs: Number.POSITIVE_INFINITY }
/** 8 mini-batches an epoch; the parts of one in four threads are of 7, 6, 7 and 6 images. */
const RECIPE = {
  steps: 12,
  batchSize: 26,
  averageDecay: 0.9,
  statisticsBatches: 5,
  augmentation: { flip: true, shift: 1, cutout: 2, brightness: 0.2, contrast: 0.2, saturation: 0.2 },
}

type Trained = FromScratchResult & { readonly losses: readonly number[]; readonly notes: readonly string[] }

async function train(recipe: object, more: Partial<FromScratchOptions> = {}): Promise<Trained> {
  const { chosen } = await openBackend('wasm')
  const losses: number[] = []
  const notes: string[] = []
  const result = await trainFromScratch({
    backend: chosen,
    dataset: smallDataset(),
    space,
    path,
    recipe: recipeSchema.parse(recipe),
    seed: 3,
    onStep: (_, __, loss) => void losses.push(loss),
    onNote: (line) => void notes.push(line),
    ...more,
  })
  return { ...result, losses, notes }
}

/** Weights and statistics as plain lists of bits. */
function bitsOf({ weights, statistics }: FromScratchResult) {
  const bits = (values: Float32Array) => [...new Uint32Array(values.slice().buffer)]
  return {
    weights: [...weights].map(([key, { values }]) => [key, bits(values)]),
    statistics: [...statistics].map(([key, { mean, variance }]) => [key, bits(mean), bits(variance)]),
  }
}

describe('a training in threads', () => {
  test.each([2, 4])('%i of them, is that of as many micro-batches in one thread, to the last bit', async (threads) => {
    const one = await train(RECIPE, { accumulate: threads, test: true })
    const several = await train(RECIPE, { threads, test: true })
    expect(several.threads).toBe(threads)
    expect(several.losses).toEqual(one.losses)
    expect(bitsOf(several)).toEqual(bitsOf(one))
    for (const split of ['validation', 'test'] as const) {
      expect(several[split]).toEqual({ ...one[split], crossEntropy: expect.closeTo(one[split]!.crossEntropy, 9) })
    }
  })

  test('that is broken off and goes on in as many threads ends with the same bits, in another number with a note', async () => {
    const recipe = { ...RECIPE, dropout: 0.2 }
    const whole = await train(recipe, { threads: 2 })
    const stop = new AbortController()
    let kept: Uint8Array | undefined
    const save = (checkpoint: Checkpoint) => void (kept = encodeCheckpoint(checkpoint))
    const onStep = (done: number) => {
      if (done === 5) stop.abort(new Error('stop here'))
    }
    await expect(train(recipe, { threads: 2, checkpoints: { ...NEVER, save }, onStep, signal: stop.signal })).rejects.toThrow('stop here')
    const checkpoint = decodeCheckpoint(kept ?? new Uint8Array())
    expect(checkpoint).toMatchObject({ step: 5, threads: 2 })

    const resumed = await train(recipe, { threads: 2, checkpoint })
    expect(bitsOf(resumed)).toEqual(bitsOf(whole))
    expect(resumed.reports).toEqual(whole.reports)
    const other = await train(recipe, { threads: 1, checkpoint })
    expect(other.losses).toHaveLength(RECIPE.steps - 5)
    expect(other.notes).toContainEqual(expect.stringContaining('the checkpoint is of 2 threads, this training has 1'))
    expect(resumed.notes.join()).not.toContain('the checkpoint is of')
  })

  test('learns from a teacher, which each thread asks about its own images', async () => {
    const { weights, statistics } = await train(RECIPE)
    const dataset = smallDataset()
    const { normalisation } = dataset
    const teacher = createTeacher({ space: SMALL_SPACE, architecture: 'small:mb2k3,mb2k5', normalisation, weights, statistics }, dataset)
    const recipe = { ...RECIPE, steps: 3, distillation: { weight: 0.7, temperature: 3 } }
    const one = await train(recipe, { teacher, accumulate: 2 })
    const two = await train(recipe, { teacher, threads: 2 })
    for (const [step, loss] of two.losses.entries()) expect(loss).toBeCloseTo(one.losses[step] as number, 5)
    const { logits, fingerprint } = teacher
    const alone = await train(recipe, { teacher: { logits, fingerprint }, threads: 2 })
    expect(alone.threads).toBe(1)
    expect(alone.notes).toContainEqual(expect.stringContaining('1 of 2 threads: this teacher'))
    teacher.dispose()
  })
})

describe('threads', () => {
  test('are as many as there are cores, if their parts are not too small, and no more than images', () => {
    const wasm = { name: 'wasm', description: '', readsSynchronously: true } as const
    const notes: string[] = []
    const rest = { teacher: undefined, onNote: (line: string) => void notes.push(line) }
    expect(chooseThreads('auto', { backend: wasm, batchSize: 31, ...rest })).toBe(1)
    expect(chooseThreads('auto', { backend: { ...wasm, name: 'cpu' }, batchSize: 1024, ...rest })).toBe(1)
    expect(chooseThreads('auto', { backend: wasm, batchSize: 1024, ...rest })).toBeGreaterThanOrEqual(1)
    expect(chooseThreads(3, { backend: wasm, batchSize: 4, ...rest })).toBe(3)
    expect(notes).toEqual([])
    expect(chooseThreads(3, { backend: wasm, batchSize: 2, ...rest })).toBe(2)
    expect(chooseThreads(3, { backend: { ...wasm, name: 'webgpu' }, batchSize: 64, ...rest })).toBe(1)
    expect(notes).toEqual(['2 of 3 threads: a mini-batch has 2 images', '1 of 3 threads: the backend webgpu computes for one'])
  })

  test('end a training that one of them fails in, with its error, instead of waiting for it', async () => {
    const { chosen: backend } = await openBackend('wasm')
    const dataset = smallDataset()
    const graph = space.network(path)
    const recipe = recipeSchema.parse({ steps: 1, batchSize: 8 })
    const shares = {
      train: Uint32Array.from({ length: 16 }, (_, i) => i),
      validation: Uint32Array.of(16),
      validationSplit: 'train' as const,
    }
    // No step at all: what the thread asks for is not there.
    const schedule = { stepsPerEpoch: 2, steps: 0, warmupSteps: 0 }
    const task = { graph, weightSpecs: space.weightSpecs, shape: space.input, recipe, schedule, seed: 1, shares, firstStep: 0 }
    const state = { weights: new Map(), velocities: new Map(), squares: new Map(), average: new Map() }
    const weights = [{ key: 'weight', shape: [1] }]
    const options = { backend, dataset, task: { ...task, accumulate: 1 }, count: 2, weights, state, onNote: () => undefined }
    const team = await startTeam(options)
    team.train(1)
    const own = { loss: 0, tensors: new Map([['weight', tf.tensor1d([1])]]) }
    await expect(team.exchange(own)).rejects.toThrow(TrainingThreadError)
    await expect(team.observe(async () => [])).rejects.toThrow(/^training thread 2 of 2 failed: /)
    await team.close()
  })
})
