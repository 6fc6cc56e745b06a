// Images of 16 bits: heights and readings, of which 8 bits would leave little or nothing.

import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type Augmentation,
  type DatasetProgress,
  fillBatch,
  type ImageShape,
  inspectDataset,
  openBatchSource,
  openDataset,
  type PixelBits,
  type Split,
} from '../../engine/datasets/index.ts'
import { createRandom } from '../../search-space/random.ts'
import { readModelFolder } from '../../models/model-folder.ts'
import { type Bands, bandTiff, bandValues } from '../fixtures/band-tiff.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { colouredClasses, writeFiles } from '../fixtures/image-folder.ts'
import { openInMemory } from '../fixtures/memory-dataset.ts'
import { writeNpz } from '../fixtures/npz.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gatehouse-bits-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const options = (input: ImageShape, bits?: PixelBits, onProgress?: (progress: DatasetProgress) => void) => ({
  cacheFolder: join(root, 'cache'),
  input: () => input,
  ...(bits && { bits: () => bits }),
  ...(onProgress && { onProgress }),
})

/** Heights in metres, from 300 to 555, that tell the class: of 16 bits the upper eight are 1 or 2. */
const heights = (label: number, i: number, bands = 1, size = 4): Bands => ({
  width: size,
  height: size,
  bands,
  bits: 16,
  value: (x, y, band) => 300 + ((17 * x + 31 * y + 53 * band + 90 * label + 7 * i) % 256),
})

async function writeHeights(name: string, bands = 1, size?: number): Promise<string> {
  const folder = join(root, name)
  for (const [split, count] of [
    ['train', 8],
    ['test', 3],
  ] as const) {
    for (const [label, className] of ['hill', 'vale'].entries()) {
      for (let i = 0; i < count; i++)
        await writeFiles(folder, { [`${split}/${className}/${i}.tif`]: bandTiff(heights(label, i, bands, size)) })
    }
  }
  return folder
}

const trainValues = (bands: number) =>
  [0, 1].flatMap((label) => Array.from({ length: 8 }, (_, i) => bandValues(heights(label, i, bands))).flat())

describe('a folder of images of 16 bits', () => {
  it.each([1, 2, 4, 13])('with %i channels keeps their values, and their mean', async (bands) => {
    const folder = await writeHeights('heights', bands)
    const { train, normalisation } = await openInMemory(folder, options([4, 4, bands], 16))
    expect(train.images).toBeInstanceOf(Uint16Array)
    expect([...train.images]).toEqual(trainValues(bands))
    const first = trainValues(bands).filter((_, at) => at % bands === 0)
    const mean = first.reduce((sum, value) => sum + value, 0) / first.length
    const variance = first.reduce((sum, value) => sum + (value - mean) ** 2, 0) / first.length
    expect(normalisation.mean[0]).toBeCloseTo(mean / 65_535, 12)
    expect(normalisation.std[0]).toBeCloseTo(Math.sqrt(variance) / 65_535, 12)
  })

  it('becomes sRGB of 16 bits for three channels', async () => {
    const folder = join(root, 'colours')
    const values = (label: number) => Uint16Array.from({ length: 48 }, (_, at) => 1000 * label + 517 * at)
    for (const [label, name] of ['a', 'b'].entries()) {
      const png = sharp(values(label), { raw: { width: 4, height: 4, channels: 3 } })
        .toColourspace('rgb16')
        .png()
      await writeFiles(folder, { [`train/${name}/1.png`]: png, [`test/${name}/1.png`]: png.clone() })
    }
    const { train } = await openInMemory(folder, options([4, 4, 3], 16))
    expect([...train.images]).toEqual([...values(0), ...values(1)])
  })

  it.each([1, 3, 4])('takes files of 8 bits at 257 times their values, with %i channels', async (channels) => {
    const folder = join(root, 'bytes')
    const image = (label: number) => ({
      width: 4,
      height: 4,
      bands: 4,
      value: (x: number, y: number, band: number) => 60 * x + 5 * y + band + label,
    })
    if (channels === 4)
      for (const split of ['train', 'test'])
        await writeFiles(folder, { [`${split}/a/1.tif`]: bandTiff(image(0)), [`${split}/b/1.tif`]: bandTiff(image(9)) })
    else await writeFiles(folder, { ...colouredClasses('train/', 2, [4, 4]), ...colouredClasses('test/', 1, [4, 4]) })
    const narrow = await openInMemory(folder, options([4, 4, channels]))
    const wide = await openInMemory(folder, options([4, 4, channels], 16))
    expect([...wide.train.images]).toEqual(Array.from(narrow.train.images, (value) => 257 * value))
    for (const [channel, mean] of narrow.normalisation.mean.entries()) expect(wide.normalisation.mean[channel]).toBeCloseTo(mean, 12)
  })

  it('is flat in 8 bits, which says what to do, and seen in 16', async () => {
    const folder = join(root, 'flat')
    const low = (label: number, i: number): Bands => ({ ...heights(label, i), value: (x, y) => 10 + x + y + 5 * label + i })
    for (const split of ['train', 'test'])
      for (const [label, name] of ['hill', 'vale'].entries())
        for (let i = 0; i < 2; i++) await writeFiles(folder, { [`${split}/${name}/${i}.tif`]: bandTiff(low(label, i)) })
    await expect(openDataset(folder, options([4, 4, 1]))).rejects.toThrow(/values, 10 to 16, are all one in 8 bits; give --bits 16/)
    expect(await inspectDataset(folder, options([4, 4, 1], 16))).toMatchObject({ bits: 16, broken: { count: 0 }, flat: { count: 0 } })
  })

  it('names files of floats and files that are cut', async () => {
    const folder = await writeHeights('faults')
    await writeFiles(folder, {
      'train/hill/float.tif': bandTiff({ ...heights(0, 1), bits: 32 }),
      'train/hill/cut.tif': bandTiff(heights(0, 1)).subarray(0, -9),
    })
    const { broken } = await inspectDataset(folder, options([4, 4, 1], 16))
    expect(broken.examples).toEqual([
      { file: 'train/hill/cut.tif', reason: 'it is a TIFF file whose pixels end early or are damaged' },
      { file: 'train/hill/float.tif', reason: 'its values are of the kind float; save them as whole numbers of 8 or 16 bits' },
    ])
  })

  it('stays in its files with the same values, where it is large', async () => {
    const folder = await writeHeights('large', 2, 24)
    const dataset = await openDataset(folder, options([24, 24, 2], 16))
    const inFiles = await openDataset(folder, options([8, 8, 2], 16))
    expect([dataset.storage, inFiles.storage]).toEqual(['memory', 'files'])
    const { mean, std } = inFiles.normalisation
    expect(mean[0]).toBeGreaterThan(300 / 65_535)
    expect(mean[0]).toBeLessThan(556 / 65_535)
    const source = await openBatchSource(inFiles)
    for await (const { images } of source.batches([{ split: 'train', indices: Uint32Array.of(0, 9) }])) {
      const values = Array.from(images, (value, at) => (value * (std[at % 2] as number) + (mean[at % 2] as number)) * 65_535)
      for (const value of values) expect(Math.abs(value - Math.round(value))).toBeLessThan(0.05)
      for (const value of values) expect(value).toBeGreaterThan(299)
      expect(new Set(values.map(Math.round)).size).toBeGreaterThan(50)
    }
  })

  it('has another fingerprint than in 8 bits, and comes back from its cache', async () => {
    const folder = await writeHeights('cached', 3)
    const narrow = await openInMemory(folder, options([4, 4, 3]))
    const wide = await openInMemory(folder, options([4, 4, 3], 16))
    expect(wide.fingerprint).not.toBe(narrow.fingerprint)
    const again = await openInMemory(
      folder,
      options([4, 4, 3], 16, ({ kind }) => expect.unreachable(kind)),
    )
    expect(again.train).toEqual(wide.train)
    expect(again.test).toEqual(wide.test)
    expect((await openInMemory(folder, options([4, 4, 3]))).train).toEqual(narrow.train)
  })

  it('rebuilds caches that do not say their bits', async () => {
    const folder = await writeHeights('older')
    const { fingerprint } = await openDataset(folder, options([4, 4, 1], 16))
    const cache = join(root, 'cache')
    const file = join(cache, readdirSync(cache).find((name) => name.endsWith('.bin')) as string)
    const bytes = readFileSync(file)
    bytes.write('GHDATA02', 'latin1')
    writeFileSync(file, bytes)
    const said: DatasetProgress[] = []
    const again = await openDataset(
      folder,
      options([4, 4, 1], 16, (progress) => void said.push(progress)),
    )
    expect(again.fingerprint).toBe(fingerprint)
    expect(said).toMatchObject([{ kind: 'rebuilding-cache', reason: 'it does not begin with GHDATA03' }])
  })
})

describe('arrays of NumPy', () => {
  const labels = { type: '|u1', shape: [4], bytes: Uint8Array.of(0, 1, 0, 1) }
  const write = (type: '|u1' | '<u2') => {
    const values = Uint16Array.from({ length: 4 * 6 }, (_, at) => (type === '|u1' ? at : 300 + 700 * at))
    const bytes = type === '|u1' ? Uint8Array.from(values) : new Uint8Array(values.buffer)
    const images = { type, shape: [4, 2, 3], bytes }
    writeNpz(join(root, 'data.npz'), { x_train: images, y_train: labels, x_test: images, y_test: labels })
    return { file: join(root, 'data.npz'), values }
  }

  it('are taken as uint16 where 16 bits are wanted, also from the cache', async () => {
    const { file, values } = write('<u2')
    for (let time = 0; time < 2; time++) {
      const { train, fingerprint } = await openInMemory(file, options([2, 3, 1], 16))
      expect(train.images).toEqual(values)
      const hash = createHash('sha256').update('gatehouse dataset 1\nshape 2x3x1\nclasses 2\ntrain 4\ntest 4\nbits 16\n')
      for (const part of [values, labels.bytes, values, labels.bytes]) hash.update(part)
      expect(fingerprint).toBe(hash.digest('hex'))
    }
    await expect(openDataset(file, options([2, 3, 1]))).rejects.toMatchObject({
      code: 'bad-record',
      message: expect.stringMatching(/uint8\), got u2: give --bits 16/),
    })
  })

  it('of bytes are scaled by 257', async () => {
    const { file, values } = write('|u1')
    const { train } = await openInMemory(file, options([2, 3, 1], 16))
    expect([...train.images]).toEqual([...values].map((value) => 257 * value))
    expect([...(await openInMemory(file, options([2, 3, 1]))).train.images]).toEqual([...values])
  })
})

describe('augmentation', () => {
  const bytes = Uint8Array.from({ length: 2 * 5 * 5 * 3 }, (_, at) => (at * 37) % 256)
  const split = (images: Split['images']): Split => ({ count: 2, shape: [5, 5, 3], images, labels: Uint8Array.of(0, 1) })
  const normalisation = { mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] }
  const fill = (images: Split['images'], augmentation: Augmentation) =>
    fillBatch({ split: split(images), indices: Uint32Array.of(1, 0), normalisation, augmentation, random: createRandom([1, 2, 3, 4]) })
      .images

  it('does to values of 16 bits what it does to bytes', () => {
    const augmentation = { flip: true, shift: 2, cutout: 2, brightness: 0.3, contrast: 0.3, saturation: 0.3, erase: 1 }
    const wanted = fill(bytes, augmentation)
    const wide = fill(
      Uint16Array.from(bytes, (value) => 257 * value),
      augmentation,
    )
    for (const [at, value] of wanted.entries()) expect(wide[at]).toBeCloseTo(value, 5)
  })

  it('refuses TrivialAugment, which is defined on bytes', () => {
    expect(() => fill(new Uint16Array(150), { flip: false, shift: 0, trivial: true })).toThrow(
      'expected images of 8 bits for TrivialAugment (augmentation.trivial), got values of 16 bits',
    )
  })
})

it('a network of 16 bits is trained, evaluated and asked without saying so again, and exported to ONNX with the same answers', async () => {
  const folder = await writeHeights('whole', 1, 8)
  const gatehouse = (...args: string[]) => runGatehouse(args, { folder: root })
  writeFileSync(join(root, 'space.json'), JSON.stringify({ preset: 'fashion-mini', input: [8, 8, 1], classes: 2 }))
  const checked = await gatehouse('data', 'check', folder, '--input', '8x8x1', '--bits', '16', '--json')
  expect(JSON.parse(checked.out)).toMatchObject({ usable: true, bits: 16, shape: [8, 8, 1] })

  const network = ['--space', '@space.json', '--architecture', 'fashion-mini-custom:mb3k3,zero,mb3k3,zero,mb3k3,zero']
  const recipe = ['--threads', '1', '--epochs', '1', '--batch', '8', '--test', '--json', '--out', 'model']
  const trained = await gatehouse('train', ...network, '--data', folder, '--bits', '16', '--backend', 'wasm', ...recipe)
  expect(trained.code, trained.err).toBe(0)
  const model = readModelFolder(join(root, 'model'))
  expect(model.description.dataset?.bits).toBe(16)
  const evaluated = await gatehouse('evaluate', '--model', 'model', '--data', folder, '--backend', 'wasm', '--json')
  expect(JSON.parse(evaluated.out)).toMatchObject({
    top1: JSON.parse(trained.out).test.top1,
    dataset: { fingerprint: model.description.dataset?.fingerprint },
  })

  const said = await gatehouse('predict', join(folder, 'test'), '--model', 'model', '--backend', 'wasm', '--json')
  await gatehouse('export', '--model', 'model', '--format', 'onnx', '--with-preprocessing', '--out', 'model.onnx')
  const session = await InferenceSession.create(join(root, 'model.onnx'))
  const predictions = JSON.parse(said.out) as { image: string; classes: { class: string; probability: number }[] }[]
  expect(predictions).toHaveLength(6)
  const names = ['hill', 'vale']
  for (const { image, classes } of predictions) {
    const [name = '', file = ''] = image.split('/')
    const pixels = Uint16Array.from(bandValues(heights(names.indexOf(name), Number(file.replace('.tif', '')), 1, 8)))
    const { logits } = await session.run({ input: new Tensor('uint16', pixels, [1, 8, 8, 1]) })
    const powers = Array.from(logits?.data as Float32Array, Math.exp)
    for (const { class: guess, probability } of classes) {
      const wanted = (powers[names.indexOf(guess)] as number) / powers.reduce((sum, power) => sum + power, 0)
      expect(Math.abs(probability - wanted)).toBeLessThan(1e-4)
    }
  }
})
