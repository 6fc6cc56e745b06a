// Images of other than one or three channels: bands of TIFF files, PNG with an alpha channel, arrays of NumPy.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ImageShape, inspectDataset, openBatchSource, openDataset } from '../../engine/datasets/index.ts'
import { readModelFolder } from '../../models/model-folder.ts'
import { type Bands, bandTiff, bandValues } from '../fixtures/band-tiff.ts'
import { runGatehouse } from '../fixtures/command.ts'
import { plain, writeFiles } from '../fixtures/image-folder.ts'
import { openInMemory } from '../fixtures/memory-dataset.ts'
import { writeNpz } from '../fixtures/npz.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'gatehouse-channels-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const cacheFolder = () => join(root, 'cache')
const options = (input: ImageShape) => ({ cacheFolder: cacheFolder(), input: () => input })

/** Bands of no order, no two of them alike, that tell the class. */
const image = (bands: number, label: number, i: number, size = 4): Bands => ({
  width: size,
  height: size,
  bands,
  value: (x, y, band) => (17 * x + 31 * y + 53 * band + 90 * label + 7 * i) % 256,
})

async function writeClasses(name: string, bands: number, size?: number): Promise<string> {
  const folder = join(root, name)
  for (const [split, count] of [
    ['train', 8],
    ['test', 3],
  ] as const) {
    for (const [label, className] of ['bare', 'wood'].entries()) {
      for (let i = 0; i < count; i++) {
        await writeFiles(folder, { [`${split}/${className}/${i}.tif`]: bandTiff(image(bands, label, i, size)) })
      }
    }
  }
  return folder
}

describe('bands of TIFF files', () => {
  it.each([2, 4, 5, 13, 64])('%i of them are what the files have', async (bands) => {
    const folder = await writeClasses(`bands-${bands}`, bands)
    const { train, shape } = await openInMemory(folder, options([4, 4, bands]))
    expect(shape).toEqual([4, 4, bands])
    const wanted = [0, 1].flatMap((label) => Array.from({ length: 8 }, (_, i) => bandValues(image(bands, label, i))).flat())
    expect([...train.images]).toEqual(wanted)
  })

  it('are scaled each by itself, as a grey image of the band is', async () => {
    const folder = await writeClasses('scaled', 4, 24)
    const dataset = await openDataset(folder, options([8, 8, 4]))
    expect(dataset.storage).toBe('files')
    const source = await openBatchSource(dataset)
    const indices = Uint32Array.of(2, 9)
    const { mean, std } = dataset.normalisation
    for await (const { images } of source.batches([{ split: 'train', indices }])) {
      for (const [slot, index] of indices.entries()) {
        const { value } = image(4, index < 8 ? 0 : 1, index % 8)
        for (let band = 0; band < 4; band++) {
          const grey = Buffer.from(Array.from({ length: 24 * 24 }, (_, at) => value(at % 24, Math.floor(at / 24), band)))
          // The part that evaluation takes: 7/8 of the side, in the middle.
          const wanted = await sharp(
            await sharp(grey, { raw: { width: 24, height: 24, channels: 1 } })
              .png()
              .toBuffer(),
          )
            .extract({ left: 1, top: 1, width: 21, height: 21 })
            .resize(8, 8, { fit: 'fill', kernel: 'linear' })
            .toColourspace('b-w')
            .raw()
            .toBuffer()
          const found = Array.from({ length: 64 }, (_, at) => {
            const normalised = images[slot * 256 + at * 4 + band] as number
            return Math.round((normalised * (std[band] as number) + (mean[band] as number)) * 255)
          })
          expect(found).toEqual([...wanted])
        }
      }
    }
  })

  it('are read from tar archives too, with the same pixels', async () => {
    const folder = await writeClasses('before-tar', 5)
    const shards = join(root, 'shards')
    mkdirSync(shards)
    for (const split of ['train', 'test']) {
      const loose = join(root, `loose-${split}`)
      for (const [label, className] of ['bare', 'wood'].entries()) {
        for (const file of readdirSync(join(folder, split, className))) {
          const key = `${label}${file.replace('.tif', '')}`
          const bytes = readFileSync(join(folder, split, className, file))
          await writeFiles(loose, { [`${key}.tif`]: new Uint8Array(bytes), [`${key}.cls`]: String(label) })
        }
      }
      execFileSync('tar', ['--sort=name', '-cf', join(shards, `${split}.tar`), ...readdirSync(loose).toSorted()], { cwd: loose })
    }
    const [packed, files] = [await openInMemory(shards, options([4, 4, 5])), await openInMemory(folder, options([4, 4, 5]))]
    expect(packed.train.images).toEqual(files.train.images)
    expect(packed.test.images).toEqual(files.test.images)
  })
})

describe('PNG files', () => {
  const rgba = (label: number) => Buffer.from(Array.from({ length: 64 }, (_, at) => (at * 37 + label * 100) % 256))

  it('of red, green, blue and alpha have four channels, none of which weighs another', async () => {
    const folder = join(root, 'rgba')
    for (const [label, name] of ['a', 'b'].entries()) {
      const png = sharp(rgba(label), { raw: { width: 4, height: 4, channels: 4 } }).png()
      await writeFiles(folder, { [`train/${name}/1.png`]: png, [`test/${name}/1.png`]: png.clone() })
    }
    const { train } = await openInMemory(folder, options([4, 4, 4]))
    expect([...train.images]).toEqual([...rgba(0), ...rgba(1)])
  })

  it('of grey and alpha have two', async () => {
    const folder = join(root, 'grey-alpha')
    const values = (label: number) => rgba(label).subarray(0, 32)
    for (const [label, name] of ['a', 'b'].entries()) {
      const png = sharp(values(label), { raw: { width: 4, height: 4, channels: 2 } })
        .toColourspace('b-w')
        .png()
      await writeFiles(folder, { [`train/${name}/1.png`]: png, [`test/${name}/1.png`]: png.clone() })
    }
    const { train } = await openInMemory(folder, options([4, 4, 2]))
    expect([...train.images]).toEqual([...values(0), ...values(1)])
  })
})

describe('an image of other channels than the space takes', () => {
  it('is named with both numbers, whether it has too few or too many', async () => {
    const folder = await writeClasses('mixed', 4)
    await writeFiles(folder, { 'train/wood/photo.png': plain([4, 4], [10, 20, 30]) })
    const refused = (input: ImageShape) => openDataset(folder, options(input)).catch((error: unknown) => error)
    const file = join(folder, 'train/wood/photo.png')
    expect(await refused([4, 4, 4])).toMatchObject({
      code: 'shape-mismatch',
      file,
      message: `expected other channels of ${file}: the space takes images of 4 channels, it has 3: take a space of as many, or leave such images out`,
    })
    const many = await writeClasses('many', 13)
    expect(await openDataset(many, options([4, 4, 3])).catch((error: unknown) => error)).toMatchObject({
      code: 'shape-mismatch',
      message: expect.stringMatching(/bare.0\.tif: the space takes images of 3 channels, it has 13: take a space of as many$/),
    })
  })

  it('is refused from the index as well, which keeps what files have', async () => {
    const folder = await writeClasses('again', 2)
    await openDataset(folder, options([4, 4, 2]))
    await expect(openDataset(folder, options([4, 4, 5]))).rejects.toMatchObject({ code: 'shape-mismatch' })
  })
})

it('arrays of NumPy have as many channels as their last dimension, also of small images', async () => {
  const file = join(root, 'bands.npz')
  const values = (count: number) => Uint8Array.from({ length: count * 4 * 4 * 13 }, (_, at) => (at * 11) % 256)
  writeNpz(file, {
    x_train: { type: '|u1', shape: [4, 4, 4, 13], bytes: values(4) },
    y_train: { type: '|u1', shape: [4], bytes: Uint8Array.of(0, 1, 0, 1) },
    x_test: { type: '|u1', shape: [2, 4, 4, 13], bytes: values(2) },
    y_test: { type: '|u1', shape: [2], bytes: Uint8Array.of(0, 1) },
  })
  const { train, shape } = await openInMemory(file, options([4, 4, 13]))
  expect(shape).toEqual([4, 4, 13])
  expect([...train.images]).toEqual([...values(4)])
})

it('a network of four channels is trained, evaluated, asked, and exported to ONNX with the same answers', async () => {
  const folder = await writeClasses('whole', 4, 8)
  const gatehouse = (...args: string[]) => runGatehouse(args, { folder: root })
  const space = { preset: 'fashion-mini', input: [8, 8, 4], classes: 2 }
  writeFileSync(join(root, 'space.json'), JSON.stringify(space))
  const checked = await gatehouse('data', 'check', folder, '--input', '8x8x4', '--json')
  expect(JSON.parse(checked.out)).toMatchObject({ usable: true, shape: [8, 8, 4] })
  expect(JSON.parse(checked.out).normalisation.mean).toHaveLength(4)
  expect(await inspectDataset(folder, options([8, 8, 4]))).toMatchObject({ broken: { count: 0 }, flat: { count: 0 } })

  const data = ['--data', folder, '--backend', 'wasm']
  const architecture = 'fashion-mini-custom:mb3k3,zero,mb3k3,zero,mb3k3,zero'
  const recipe = ['--threads', '1', '--epochs', '1', '--batch', '8', '--test', '--json', '--out', 'model']
  const trained = await gatehouse('train', '--space', '@space.json', '--architecture', architecture, ...data, ...recipe)
  expect(trained.code, trained.err).toBe(0)
  const refused = await gatehouse(
    'train',
    '--space',
    '@space.json',
    '--architecture',
    architecture,
    ...data,
    '--batch',
    '8',
    '--set',
    'augmentation.saturation=0.4',
  )
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('3 channels for a saturation above 0, got 4') })
  const evaluated = await gatehouse('evaluate', '--model', 'model', ...data, '--json')
  expect(JSON.parse(evaluated.out).top1).toBe(JSON.parse(trained.out).test.top1)

  const said = await gatehouse('predict', join(folder, 'test'), '--model', 'model', '--backend', 'wasm', '--json')
  expect(said.code, said.err).toBe(0)
  const exported = await gatehouse('export', '--model', 'model', '--format', 'onnx', '--with-preprocessing', '--out', 'model.onnx')
  expect(exported.code, exported.err).toBe(0)
  const session = await InferenceSession.create(join(root, 'model.onnx'))
  const { classNames = [] } = readModelFolder(join(root, 'model')).description
  const predictions = JSON.parse(said.out) as { image: string; classes: { class: string; probability: number }[] }[]
  expect(predictions).toHaveLength(6)
  for (const { image: name, classes } of predictions) {
    const [className = '', file = ''] = name.split('/')
    const pixels = Uint8Array.from(bandValues(image(4, classNames.indexOf(className), Number(file.replace('.tif', '')), 8)))
    const { logits } = await session.run({ input: new Tensor('uint8', pixels, [1, 8, 8, 4]) })
    const powers = Array.from(logits?.data as Float32Array, Math.exp)
    for (const { class: guess, probability } of classes) {
      const wanted = (powers[classNames.indexOf(guess)] as number) / powers.reduce((sum, power) => sum + power, 0)
      expect(Math.abs(probability - wanted)).toBeLessThan(1e-4)
    }
  }
  const strange = await gatehouse('predict', join(root, 'mixed/train/wood/photo.png'), '--model', 'model', '--backend', 'wasm')
  expect(strange.err).toContain('broken image photo.png: the space takes images of 4 channels, it has 3')
})
