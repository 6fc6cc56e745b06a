// `gatehouse transform` on a network of MBConvs: the grown model answers like the one that it was made of, and can be trained on.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { afterAll, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { createInference } from '../../engine/executor/index.ts'
import { readModelFolder, type TrainedModel, writeModelFolder } from '../../models/model-folder.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { writeFiles } from '../fixtures/image-folder.ts'
import { makeModel, randomImages } from '../fixtures/trained-models.ts'
import { relativeError } from './kernels-relative-error.ts'

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-transform-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const gatehouse = (...args: string[]) => runGatehouse(args, { folder, columns: () => 100 })

const SIDE = 12
const IMAGES = 32
const model = makeModel({
  space: { preset: 'fashion-mini', input: [SIDE, SIDE, 1], classes: 4 },
  architecture: 'fashion-mini-custom:mb3k5,zero,mb6k3,mb3k7,mb6k5,mb6k7',
})
writeModelFolder(join(folder, 'small'), model)
const read = (name: string) => readModelFolder(join(folder, name))

async function answers({ space, path, weights, statistics }: TrainedModel): Promise<Float32Array> {
  await openBackend('cpu')
  const inference = createInference({ graph: space.network(path), weights: (key) => weights.get(key)?.values as Float32Array, statistics })
  const images = tf.tensor4d(randomImages(4, space.input), [4, ...space.input])
  const output = inference.run(images)
  const values = output.dataSync<'float32'>().slice()
  inference.dispose()
  tf.dispose([images, output])
  return values
}

it('writes a larger model that answers the same, and can be grown again and trained on', async () => {
  const { out, code } = await gatehouse('transform', '--model', 'small', '--list', '--json')
  expect(code).toBe(0)
  const places = JSON.parse(out) as { widen: string[]; deepen: string[] }
  expect(places.deepen).toContain('stem/conv/conv')
  const depthwise = places.deepen.find((id) => id.endsWith('/depthwise')) ?? ''

  const grown = await gatehouse(
    'transform',
    '--model',
    'small',
    '--widen',
    'stem/conv/conv:1.5',
    '--deepen',
    depthwise,
    '--out',
    'grown',
    '--json',
  )
  expect(grown).toMatchObject({ code: 0 })
  const { parameters, architecture } = JSON.parse(grown.out) as { parameters: number; architecture: string }
  expect(architecture).toBe('fashion-mini-custom-grown:whole')
  const before = await answers(model)
  expect(relativeError(await answers(read('grown')), before)).toBeLessThan(1e-5)
  expect(parameters).toBe([...read('grown').weights.values()].reduce((sum, { values }) => sum + values.length, 0))

  const again = await gatehouse(
    'transform',
    '--model',
    'grown',
    '--deepen',
    `${depthwise}.deeper1`,
    '--deepen',
    'stem/conv/conv',
    '--out',
    'again',
  )
  expect(again).toMatchObject({ code: 0 })
  expect(relativeError(await answers(read('again')), before)).toBeLessThan(1e-5)
  expect(read('again').description.training).toMatchObject({ architecture, deepen: [`${depthwise}.deeper1`, 'stem/conv/conv'] })

  const images = Uint8Array.from({ length: IMAGES * SIDE * SIDE }, (_, at) => (at * 37) % 251)
  const labels = encodeIdxLabels(Uint8Array.from({ length: IMAGES }, (_, image) => image % 4))
  const idx = encodeIdxImages({ count: IMAGES, shape: [SIDE, SIDE, 1], images })
  for (const split of ['train', 't10k']) {
    await writeFiles(folder, { [`data/${split}-images-idx3-ubyte`]: idx, [`data/${split}-labels-idx1-ubyte`]: labels })
  }
  const network = ['--space', '@again/network.json', '--architecture', architecture, '--weights', 'again/model.safetensors']
  const trained = await gatehouse(
    'train',
    ...network,
    '--data',
    'data',
    '--steps',
    '1',
    '--batch',
    '8',
    '--backend',
    'wasm',
    '--threads',
    '1',
    '--out',
    'trained',
  )
  expect(trained).toMatchObject({ code: 0 })
  const moved = (key: string) => relativeError(read('trained').weights.get(key)?.values ?? [], read('again').weights.get(key)?.values ?? [])
  // One step of weights that were there, none of random ones.
  expect(moved('stem/conv/conv.filter')).toBeGreaterThan(0)
  expect(moved('stem/conv/conv.filter')).toBeLessThan(0.5)
  expect(JSON.parse(readFileSync(join(folder, 'again/network.json'), 'utf8'))).toEqual(read('trained').description.space)
})

it.each([
  [['--widen', 'stem:2', '--out', 'x'], 'expected a convolution to widen, got stem; --list prints the layers that can be grown'],
  [['--widen', 'stem/conv/conv', '--out', 'x'], 'expected --widen to be LAYER:FACTOR, got "stem/conv/conv"'],
  [['--widen', 'stem/conv/conv:99', '--out', 'x'], 'expected --widen to be a number from 1 to 16'],
  [['--out', 'x'], 'expected --widen or --deepen'],
  [['--deepen', 'stem/conv/conv'], 'expected --out, or --list'],
  [['--deepen', 'stem/conv/conv', '--out', 'small'], 'has a trained network already'],
])('refuses %j', async (args, message) => {
  const { code, err } = await gatehouse('transform', '--model', 'small', ...args)
  expect(code).not.toBe(0)
  expect(err).toContain(message)
})
