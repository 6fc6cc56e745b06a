// Scores as tasks of a search: what an agent computes, in one thread and in several, and what a result has to be.

import * as tf from '@tensorflow/tfjs-core'
import { afterAll, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { batchIndices, openBatchSource, splitShares } from '../../engine/datasets/index.ts'
import { scoreNetwork } from '../../engine/scores/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { type ResultOf, resultMismatch, type ScoreName, searchConfigSchema, type WorkOf } from '../../protocol/index.ts'
import { openInThisThread, openInThreads } from './small-trainers.ts'
import { path, SMALL_SPACE, smallDataset, space } from './training-images.ts'

const config = searchConfigSchema.parse({
  name: 'scores',
  space: SMALL_SPACE,
  dataset: { name: 'small' },
  latency: { targetMs: 100, table: { name: 'bench' } },
  seed: 5,
  strategy: { name: 'random' },
  training: { steps: 1, batchSize: 8 },
})
const names: ScoreName[] = ['params', 'snip', 'synflow', 'naswot']
const work: WorkOf<'score'> = { kind: 'score', paths: [[...path], [0, 0], [1, 2]], scores: names, batch: 1 }
const nothing = async () => undefined

const open: Trainer[] = []
afterAll(async () => {
  await Promise.all(open.map((trainer) => trainer.close()))
})

function keep(trainer: Trainer): Trainer {
  open.push(trainer)
  return trainer
}
const inThisThread = async () => keep(await openInThisThread({ config }))

/** Of each path from nothing but the definition: its own weights of the seed, mini-batch 1 of the architecture share as it is. */
async function expectedScores() {
  const { chosen: backend } = await openBackend('wasm')
  const dataset = smallDataset()
  const { architecture } = splitShares(dataset.train.count, config.seed, config.training.shares)
  const indices = batchIndices(architecture, 8, 1, `architecture/${config.seed}`)
  const source = await openBatchSource(dataset)
  const stream = source.batches([{ split: 'train', indices }])
  const { images, labels } = (await stream.next()).value as { images: Float32Array; labels: Int32Array }
  await stream.return()
  const tensor = tf.tensor4d(images, [8, ...space.input])
  const found = []
  for (const own of work.paths) {
    const { values } = await scoreNetwork(names, { backend, space, path: own, seed: config.seed, images: tensor, labels })
    found.push([...values])
  }
  tensor.dispose()
  return found
}

const setting = { decisions: space.decisions, batchSize: config.training.batchSize }
const valuesOf = ({ paths }: ResultOf<'score'>) => paths.map(({ values }) => values)

describe('what an agent computes of a task of scores', () => {
  it("is each architecture's with weights of its own, whatever the supernet has learnt", async () => {
    const trainer = await inThisThread()
    await trainer.run({ kind: 'trainWeights', firstStep: 0, paths: work.paths }, nothing)
    const weights = await Promise.all(trainer.weights.materialised().map(async (key) => [key, await trainer.weights.read(key)] as const))
    const left: number[] = []
    const { result } = await trainer.run(work, async (stepsLeft) => void left.push(stepsLeft))
    expect(resultMismatch(work, result, setting)).toBeNull()
    expect(valuesOf(result)).toEqual(await expectedScores())
    expect(left).toEqual([3, 2, 1])
    expect(trainer.keysOf(work)).toEqual([])
    for (const [key, values] of weights) expect(await trainer.weights.read(key)).toEqual(values)
    for (const { seconds } of result.paths) expect(seconds.every((value) => value > 0)).toBe(true)
  })

  it('is the same in threads', async () => {
    const trainer = keep(await openInThreads(2, { config }))
    const { result } = await trainer.run(work, nothing)
    expect(valuesOf(result)).toEqual(await expectedScores())
  })
})

describe('a result of scores', () => {
  const answer = (changes: Partial<ResultOf<'score'>['paths'][number]> = {}, count = 3): ResultOf<'score'> => ({
    kind: 'score',
    paths: Array.from({ length: count }, () => ({ values: [1, null, 1e200, -3], seconds: [0, 1, 2, 3], ...changes })),
  })
  it('has a number or nothing for each score of each path', () => {
    expect(resultMismatch(work, answer(), setting)).toBeNull()
    expect(resultMismatch(work, answer({}, 2), setting)?.path).toBe('result.paths')
    expect(resultMismatch(work, answer({ values: [1] }), setting)?.path).toBe('result.paths[0].values')
    expect(resultMismatch(work, answer({ seconds: [] }), setting)?.path).toBe('result.paths[0].seconds')
  })
})
