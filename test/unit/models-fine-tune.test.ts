// Fine-tuning as docs/training.md describes it: a network trained here stands for the published one. It has learnt 6 directions of gratings from
// many images; 4 other directions are learnt from 8 images each, with its weights and without, in as many steps.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { createRandom, seedState } from '../../search-space/random.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { writeFiles } from '../fixtures/image-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-fine-tune-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const gatehouse = (...args: string[]) => runGatehouse(args, { folder, columns: () => 100 })

const SIDE = 12

/** Waves of a random phase and length across the direction of each class, in noise. */
function gratings(count: number, angles: readonly number[], seed: string) {
  const random = createRandom(seedState('gratings', seed))
  const images = new Uint8Array(count * SIDE * SIDE)
  const labels = Uint8Array.from({ length: count }, (_, image) => image % angles.length)
  for (const [image, label] of labels.entries()) {
    const angle = (angles[label] as number) * Math.PI
    const [phase, pace] = [6.3 * random.uniform(), 1.1 + 0.6 * random.uniform()]
    for (let at = 0; at < SIDE * SIDE; at++) {
      const across = Math.cos(angle) * (at % SIDE) + Math.sin(angle) * Math.floor(at / SIDE)
      images[image * SIDE * SIDE + at] = Math.max(0, Math.min(255, 128 + 50 * Math.sin(pace * across + phase) + 45 * random.normal()))
    }
  }
  return { images: encodeIdxImages({ count, shape: [SIDE, SIDE, 1], images }), labels: encodeIdxLabels(labels) }
}

async function writeData(name: string, train: number, angles: readonly number[]): Promise<void> {
  for (const [split, count] of [
    ['train', train],
    ['t10k', 240],
  ] as const) {
    const { images, labels } = gratings(count, angles, `${name} ${split}`)
    await writeFiles(folder, { [`${name}/${split}-images-idx3-ubyte`]: images, [`${name}/${split}-labels-idx1-ubyte`]: labels })
  }
}

test('weights of a network of other classes make one that is better than random ones do, on few images', async () => {
  await writeData('many', 1200, [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
  await writeData('few', 36, [1 / 12, 4 / 12, 7 / 12, 10 / 12])
  const space = { preset: 'fashion-mini', input: [SIDE, SIDE, 1], classes: 6 }
  writeFileSync(join(folder, 'six.json'), JSON.stringify(space))
  const architecture = 'fashion-mini-custom:mb3k3,zero,mb3k3,zero,mb3k3,zero'
  const common = [
    '--backend',
    'wasm',
    '--threads',
    '1',
    '--set',
    'augmentation.flip=false',
    '--set',
    'statisticsBatches=4',
    '--json',
    '--test',
  ]
  const trained = await gatehouse(
    'train',
    '--space',
    '@six.json',
    '--architecture',
    architecture,
    '--data',
    'many',
    '--epochs',
    '5',
    '--batch',
    '40',
    '--out',
    'six',
    ...common,
  )
  expect(trained.code, trained.err).toBe(0)

  // As a published network: exported and imported, once with its weights, once for 4 classes.
  await gatehouse('export', '--model', 'six', '--format', 'proxylessnas', '--out', 'form')
  const { mean, std } = JSON.parse(readFileSync(join(folder, 'six/model.json'), 'utf8')).normalisation as { mean: number[]; std: number[] }
  const [m, s] = [mean.join(), std.join()]
  const from = ['--config', 'form/net.config', '--input', `${SIDE}x${SIDE}`]
  await gatehouse('import', ...from, '--weights', 'form/state_dict.safetensors', '--mean', m, '--std', s, '--out', 'published')
  const network = await gatehouse('import', ...from, '--classes', '4', '--name', 'four', '--out', 'four.json', '--json')
  expect(network.code, network.err).toBe(0)
  const { architecture: encoding, classes } = JSON.parse(network.out) as { architecture: string; classes: number }
  expect(classes).toBe(4)

  const settings = [
    '--steps',
    '40',
    '--batch',
    '32',
    '--rate',
    '0.02',
    '--mean',
    m,
    '--std',
    s,
    '--set',
    'stratify=true',
    '--set',
    'evaluateEvery=0',
  ]
  const fit = (...more: string[]) =>
    gatehouse('train', '--space', '@four.json', '--architecture', encoding, '--data', 'few', ...settings, ...common, ...more)
  const weights = ['--weights', 'published/model.safetensors']
  expect(await fit(...weights)).toMatchObject({
    code: 2,
    err: expect.stringMatching(/classifier\/conv\/linear\.weights of shape \[\d+,4\], which is \[\d+,6\]/),
  })
  expect(await fit('--except', 'classifier')).toMatchObject({ code: 2, err: expect.stringContaining('--except is for --weights') })
  const tuned = await fit(...weights, '--except', 'classifier')
  expect(tuned.code, tuned.err).toBe(0)
  const accuracyOf = ({ out }: { out: string }) => (JSON.parse(out) as { test: { top1: number } }).test.top1
  const [fineTuned, scratch] = [accuracyOf(tuned), accuracyOf(await fit())]
  // 99.6 % and 61.7 % where it was written.
  expect(fineTuned).toBeGreaterThan(scratch + 0.15)
})
