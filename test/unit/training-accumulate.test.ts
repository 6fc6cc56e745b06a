import * as tf from '@tensorflow/tfjs-core'
import { expect, test } from 'vitest'
import { recipeSchema } from '../../protocol/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { batchIndices, openBatchSource, splitShares } from '../../engine/datasets/index.ts'
import { createWeights, trainStep } from '../../engine/executor/index.ts'
import { trainFromScratch } from '../../engine/training/from-scratch.ts'
import type { Accumulate } from '../../engine/training/micro-batches.ts'
import { path, smallDataset, space } from './training-images.ts'

const SEED = 3
const BATCH = 24
const RECIPE = recipeSchema.parse({
  steps: 6,
  batchSize: BATCH,
  dropout: 0.2,
  statisticsBatches: 2,
  augmentation: { flip: false, shift: 0 },
})

async function lossesOf(accumulate: Accumulate, recipe = RECIPE): Promise<number[]> {
  const { chosen: backend } = await openBackend('wasm')
  const losses: number[] = []
  await trainFromScratch({
    backend,
    dataset: smallDataset(),
    space,
    path,
    recipe,
    seed: SEED,
    accumulate,
    onStep: (_, __, loss) => void losses.push(loss),
  })
  return losses
}

test('a mini-batch in parts has the mean loss of its parts, each normalised by itself', async () => {
  const { chosen } = await openBackend('wasm')
  const dataset = smallDataset()
  const shares = splitShares(dataset.train.count, SEED, { weights: 0.9, architecture: 0, validation: 0.1 })
  const indices = batchIndices(shares.weights, BATCH, 0, `scratch/${SEED}`)
  const weights = createWeights(chosen, space.weightSpecs, SEED)
  const source = await openBatchSource(dataset)
  const parts = [0, 8, 16].map((start) => ({ split: 'train' as const, indices: indices.subarray(start, start + 8) }))
  const losses: number[] = []
  for await (const { images, labels } of source.batches(parts)) {
    const tensor = tf.tensor4d(images, [labels.length, ...space.input])
    const step = { graph: space.network(path), weights, images: tensor, labels, labelSmoothing: RECIPE.labelSmoothing }
    const { loss, gradients } = await trainStep(step)
    losses.push(loss)
    tf.dispose([tensor, ...gradients.values()])
  }
  weights.dispose()
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length
  const plain = { ...RECIPE, dropout: 0 }
  expect((await lossesOf(3, plain))[0]).toBeCloseTo(mean, 5)
  expect(Math.abs(((await lossesOf(1, plain))[0] as number) - mean)).toBeGreaterThan(1e-4)
})

test('where memory suffices, nothing is split by itself, and a fixed number of parts trains the same twice', async () => {
  expect(await lossesOf('auto')).toEqual(await lossesOf(1))
  expect(await lossesOf(4)).toEqual(await lossesOf(4))
  // More parts than images: image by image.
  expect(await lossesOf(1000)).toEqual(await lossesOf(BATCH))
})
