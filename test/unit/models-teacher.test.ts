import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { encodeSafetensors } from '../../protocol/index.ts'
import { readInitialWeights } from '../../models/initial-weights.ts'
import { writeModelFolder } from '../../models/model-folder.ts'
import { openTeacher } from '../../models/teacher.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createWeights, predict } from '../../engine/executor/index.ts'
import { type FromScratchResult, trainFromScratch } from '../../engine/training/from-scratch.ts'
import { recipeSchema } from '../../protocol/recipe.ts'
import { path, smallDataset, SMALL_SPACE, space } from './training-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-teacher-'))
const dataset = smallDataset()
const { normalisation } = dataset
let trained: FromScratchResult

const write = (name: string, model: Pick<FromScratchResult, 'weights' | 'statistics'>) =>
  writeModelFolder(join(folder, name), {
    description: {
      format: 'gatehouse-model/1',
      space: SMALL_SPACE,
      architecture: trained.identity.architecture,
      normalisation,
      training: {},
      results: {},
    },
    ...model,
  })

beforeAll(async () => {
  const { chosen } = await openBackend('wasm')
  const recipe = recipeSchema.parse({ steps: 12, batchSize: 24, statisticsBatches: 4 })
  trained = await trainFromScratch({ backend: chosen, dataset, space, path, recipe, seed: 1 })
  write('model', trained)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a teacher', () => {
  test('says of images what the network that was trained says, and leaves nothing in memory', async () => {
    const { chosen } = await openBackend('wasm')
    const before = tf.memory().numTensors
    const teacher = openTeacher(join(folder, 'model'), dataset)
    const images = tf.randomNormal([5, ...space.input]) as tf.Tensor4D
    const logits = teacher.logits(images)
    expect(logits.shape).toEqual([5, 6])
    const weights = createWeights(chosen, space.weightSpecs, 0)
    for (const [key, { values }] of trained.weights) weights.write(key, values)
    const expected = await predict({ graph: space.network(path), weights, images, statistics: trained.statistics })
    for (const [i, value] of logits.dataSync().entries()) expect(value).toBeCloseTo(expected[i] as number, 4)
    tf.dispose([images, logits])
    weights.dispose()
    teacher.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })

  test('has a fingerprint of its own weights', async () => {
    await openBackend('wasm')
    const changed = new Map(trained.weights)
    const [key, { shape, values }] = [...trained.weights][0]!
    changed.set(key, { shape, values: values.map((value) => value + 1) })
    write('changed', { weights: changed, statistics: trained.statistics })
    const fingerprints = ['model', 'model', 'changed'].map((name) => {
      const teacher = openTeacher(join(folder, name), dataset)
      teacher.dispose()
      return teacher.fingerprint
    })
    expect(fingerprints[0]).toBe(fingerprints[1])
    expect(fingerprints[0]).not.toBe(fingerprints[2])
  })

  test('of other images or classes is refused, with both named', () => {
    const open = (changes: Partial<typeof dataset>) => () => openTeacher(join(folder, 'model'), { ...dataset, ...changes })
    expect(open({ shape: [8, 8, 3] })).toThrow('has images of 6×6×3, the data 8×8×3')
    expect(open({ classes: 7 })).toThrow('has classes 6, the data 7')
  })
})

describe('weights to start from', () => {
  const file = (name: string, tensors: FromScratchResult['weights']) => {
    writeFileSync(join(folder, name), encodeSafetensors({ metadata: {}, tensors }, 'F32'))
    return join(folder, name)
  }

  test('are those that the network reads, out of a file with more', async () => {
    const { chosen } = await openBackend('wasm')
    const supernet = createWeights(chosen, space.weightSpecs, 9)
    const tensors = new Map()
    for (const { key, shape } of space.weightSpecs) tensors.set(key, { shape, values: await supernet.read(key) })
    const initial = readInitialWeights(file('supernet.safetensors', tensors), space, path)
    expect([...initial.tensors.keys()].sort()).toEqual([...trained.weights.keys()].sort())
    for (const [key, { values }] of initial.tensors) expect(values).toEqual(tensors.get(key).values)
  })

  test('that lack a key or have another shape are refused, with the key and both shapes named', () => {
    const [first, second] = [...trained.weights.keys()] as [string, string]
    const wrong = new Map(trained.weights)
    wrong.delete(first)
    wrong.set(second, { shape: [1, 2], values: new Float32Array(2) })
    expect(() => readInitialWeights(file('wrong.safetensors', wrong), space, path)).toThrow(
      new RegExp(`to have ${first} of shape \\[[\\d,]+\\]; ${second} of shape \\[[\\d,]+\\], which is \\[1,2\\] there; the file has `),
    )
  })
})
