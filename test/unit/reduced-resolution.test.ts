// Weight steps on smaller images: the numbers of a search against a training on images that were averaged by hand.

import * as tf from '@tensorflow/tfjs-core'
import { afterAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource } from '../../engine/datasets/index.ts'
import { cosineRate, createSgd, createWeights, evaluate, trainStep } from '../../engine/executor/index.ts'
import { createTaskData } from '../../engine/training/task-data.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { neededKinds, ProblemError, searchConfigSchema, type TaskWork, type WorkOf } from '../../protocol/index.ts'
import { createSetup } from '../../rules/search/index.ts'
import { createSpace, SpaceError, withSmallerInput } from '../../search-space/index.ts'
import { makeConfigInput, makeTable, START_MS } from '../fixtures/searches.ts'
import { openInThisThread, openInThreads } from './small-trainers.ts'
import { SMALL_SPACE, smallDataset, space } from './training-images.ts'

const BATCH = 8
const SIDE = 6
const DIVISOR = 2
const STEPS = 4
const SHARE = 0.5
const FIELD = 'training.reducedResolution.divisor'

const config = searchConfigSchema.parse({
  space: SMALL_SPACE,
  dataset: { name: 'small' },
  latency: { targetMs: 100, table: { name: 'bench' } },
  seed: 5,
  strategy: { name: 'spos' },
  training: { steps: STEPS, batchSize: BATCH, learningRate: 0.1, reducedResolution: { divisor: DIVISOR, share: SHARE } },
})
const paths = [
  [0, 1],
  [1, 0],
  [0, 0],
  [1, 1],
]
const work: WorkOf<'trainWeights'> = { kind: 'trainWeights', firstStep: 0, paths }
const evaluation: WorkOf<'evaluatePaths'> = { kind: 'evaluatePaths', paths: [[0, 1]], batches: { first: 0, count: 1 } }
const nothing = async () => undefined

const open: Trainer[] = []
const keep = (trainer: Trainer) => {
  open.push(trainer)
  return trainer
}
afterAll(async () => {
  await Promise.all(open.map((trainer) => trainer.close()))
})

/** [batch, side, side, 3] to half the side, in float64. */
function averaged(images: Float32Array): Float32Array {
  const half = SIDE / DIVISOR
  return Float32Array.from({ length: BATCH * half * half * 3 }, (_, at) => {
    const [channel, x] = [at % 3, Math.floor(at / 3) % half]
    const [y, image] = [Math.floor(at / 3 / half) % half, Math.floor(at / 3 / half / half)]
    const valueAt = (row: number, column: number) => images[((image * SIDE + row) * SIDE + column) * 3 + channel] as number
    return (
      (valueAt(2 * y, 2 * x) + valueAt(2 * y, 2 * x + 1) + valueAt(2 * y + 1, 2 * x) + valueAt(2 * y + 1, 2 * x + 1)) / (DIVISOR * DIVISOR)
    )
  })
}

describe('a reduced resolution', () => {
  it('trains the first steps on averaged pixels, the others and evaluations on whole ones', async () => {
    const trainer = keep(await openInThisThread({ config }))
    const { result } = await trainer.run(work, nothing)

    const { chosen } = await openBackend('wasm')
    const dataset = smallDataset()
    const data = createTaskData(dataset, config)
    const source = await openBatchSource(dataset)
    const small = createSpace({ ...SMALL_SPACE, input: [SIDE / DIVISOR, SIDE / DIVISOR, 3] })
    const weights = createWeights(chosen, space.weightSpecs, config.seed)
    const { momentum, weightDecay, learningRate, labelSmoothing } = config.training
    const sgd = createSgd({ momentum, nesterov: true, weightDecay })
    let loss = 0
    for (const [step, path] of paths.entries()) {
      const isSmall = step < SHARE * STEPS
      for await (const { images, labels } of source.batches(data.requests(work, step))) {
        const side = isSmall ? SIDE / DIVISOR : SIDE
        const batch = { images: tf.tensor4d(isSmall ? averaged(images) : images, [BATCH, side, side, 3]), labels }
        const graph = (isSmall ? small : space).network(path)
        const done = await trainStep({ ...batch, graph, weights, labelSmoothing })
        sgd.apply(weights, done.gradients, cosineRate(step, STEPS, learningRate))
        loss += done.loss / STEPS
        batch.images.dispose()
      }
    }
    expect(result.loss).toBeCloseTo(loss, 5)
    for (const key of trainer.keysOf(work)) {
      const [got, expected] = [await trainer.weights.read(key), await weights.read(key)]
      expect(Math.max(...got.map((value, i) => Math.abs(value - (expected[i] as number)))), key).toBeLessThan(1e-5)
    }

    const { result: judged } = await trainer.run(evaluation, nothing)
    for await (const { images, labels } of source.batches(data.requests(evaluation, 0))) {
      const batch = { images: tf.tensor4d(images, [BATCH, SIDE, SIDE, 3]), labels }
      const whole = await evaluate({ ...batch, graph: space.network([0, 1]), weights })
      expect(judged.paths[0]?.crossEntropy).toBeCloseTo(whole.loss, 4)
      batch.images.dispose()
    }
    weights.dispose()
    sgd.clear()
  })

  it('comes to the same in threads, and goes by the steps of the search, not of the task', async () => {
    const [one, two] = [keep(await openInThisThread({ config })), keep(await openInThreads(2, { config }))]
    const lanes = { ...work, lanes: { count: 2, mergeEvery: 1 }, schedule: { from: 1, perStep: 2, counts: STEPS } }
    const { result } = await one.run(lanes, nothing)
    expect((await two.run(lanes, nothing)).result).toEqual(result)
    for (const key of one.keysOf(lanes)) expect(await two.weights.read(key)).toEqual(await one.weights.read(key))
    // Steps from the third one on see whole images, whatever the number of the mini-batch is.
    const later: TaskWork = { kind: 'trainWeights', firstStep: 0, paths: [[0, 1]], schedule: { from: 2, perStep: 1, counts: 1 } }
    const plain = searchConfigSchema.parse({ ...config, training: { ...config.training, reducedResolution: undefined } })
    const [resized, whole] = [keep(await openInThisThread({ config })), keep(await openInThisThread({ config: plain }))]
    expect((await resized.run(later, nothing)).result).toEqual((await whole.run(later, nothing)).result)
    const earlier: TaskWork = { ...later, schedule: { from: 1, perStep: 1, counts: 1 } }
    expect((await resized.run(earlier, nothing)).result).not.toEqual((await whole.run(earlier, nothing)).result)
  })

  it('is for evaluations too where all steps have it', async () => {
    const { reducedResolution } = config.training
    const always = searchConfigSchema.parse({
      ...config,
      training: { ...config.training, reducedResolution: { ...reducedResolution, share: 1 } },
    })
    const trainer = keep(await openInThisThread({ config: always }))
    const { result } = await trainer.run(evaluation, nothing)
    const { chosen } = await openBackend('wasm')
    const dataset = smallDataset()
    const weights = createWeights(chosen, space.weightSpecs, config.seed)
    const small = createSpace({ ...SMALL_SPACE, input: [SIDE / DIVISOR, SIDE / DIVISOR, 3] })
    for await (const { images, labels } of (await openBatchSource(dataset)).batches(
      createTaskData(dataset, always).requests(evaluation, 0),
    )) {
      const batch = { images: tf.tensor4d(averaged(images), [BATCH, SIDE / DIVISOR, SIDE / DIVISOR, 3]), labels }
      const { loss } = await evaluate({ ...batch, graph: small.network([0, 1]), weights })
      expect(result.paths[0]?.crossEntropy).toBeCloseTo(loss, 5)
      batch.images.dispose()
    }
    weights.dispose()
  })

  it('is work for agents that know it alone, whatever the kind', () => {
    const { training } = config
    expect(neededKinds(evaluation, training)).toEqual([
      { kind: 'evaluatePaths', version: 2 },
      { kind: 'trainWeights', version: 6 },
    ])
    expect(neededKinds(work, {})).toEqual([{ kind: 'trainWeights', version: 1 }])
  })

  it('is refused where the input is no multiple, naming the field', () => {
    expect(() => withSmallerInput(SMALL_SPACE, 4, FIELD)).toThrow(SpaceError)
    const input = makeConfigInput({ space: { preset: 'fashion-mini' } })
    const of = (divisor: number) =>
      searchConfigSchema.parse({ ...input, training: { ...input.training, reducedResolution: { divisor, share: 0.5 } } })
    const create = (divisor: number) =>
      createSetup('s000000000000', of(divisor), { ...makeTable(createSpace('fashion-mini')), version: 'f'.repeat(64) }, START_MS)
    expect(create(4).config.training.reducedResolution).toEqual({ divisor: 4, share: 0.5 })
    expect(() => create(3)).toThrow(ProblemError)
    expect(() => create(3)).toThrow(FIELD)
  })
})
