// Folders of images, written by sharp, as people have them: layouts, odd formats, broken files.

import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import {
  type Batch,
  type BatchRequest,
  type Dataset,
  type DatasetProgress,
  type ImageShape,
  inspectDataset,
  openBatchSource,
  openDataset,
} from '../../engine/datasets/index.ts'
import { type Colour, colouredClasses, gradient, plain, writeFiles } from '../fixtures/image-folder.ts'

let folder: string
let data: string
let cacheFolder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-images-'))
  data = join(folder, 'data')
  cacheFolder = join(folder, 'cache')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Smaller than the images that the tests write, so that they stay in their files. */
const SMALL: ImageShape = [8, 8, 3]

type OpenOptions = { input?: ImageShape; ref?: string; onProgress?: (progress: DatasetProgress) => void }
const open = ({ input = SMALL, ref = data, onProgress }: OpenOptions = {}) =>
  openDataset(ref, { cacheFolder, input: () => input, onProgress })

async function readBatch(dataset: Dataset, request: BatchRequest): Promise<Batch> {
  for await (const batch of (await openBatchSource(dataset)).batches([request])) return batch
  throw new Error('no batch')
}

/** Images as evaluation sees them, as bytes of 0 to 255 again. */
async function pixels(dataset: Dataset, split: BatchRequest['split'], ...indices: number[]): Promise<number[]> {
  const { images } = await readBatch(dataset, { split, indices: Uint32Array.from(indices) })
  const { mean, std } = dataset.normalisation
  const channels = dataset.shape[2]
  return Array.from(images, (value, at) => Math.round((value * (std[at % channels] as number) + (mean[at % channels] as number)) * 255))
}

/** A TIFF of little-endian bytes with its directory in front of its pixels, where cutting the end cuts pixels. */
function pixelsLast(tiff: Buffer): Buffer {
  const directory = tiff.readUInt32LE(4)
  const tail = tiff.subarray(directory)
  const moved = Buffer.concat([tiff.subarray(0, 8), tail, tiff.subarray(8, directory)])
  moved.writeUInt32LE(8, 4)
  const shift = tail.length
  const entries = moved.readUInt16LE(8)
  const move = (at: number) => {
    const place = moved.readUInt32LE(at)
    moved.writeUInt32LE(place >= directory ? place - directory + 8 : place + shift, at)
  }
  const sizes: Record<number, number> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1 }
  for (let entry = 0; entry < entries; entry++) {
    const at = 10 + 12 * entry
    const bytes = (sizes[moved.readUInt16LE(at + 2)] ?? 8) * moved.readUInt32LE(at + 4)
    const isStripOffsets = moved.readUInt16LE(at) === 273
    if (bytes > 4) move(at + 8)
    if (!isStripOffsets) continue
    const count = moved.readUInt32LE(at + 4)
    const place = bytes > 4 ? moved.readUInt32LE(at + 8) : at + 8
    for (let strip = 0; strip < count; strip++) move(place + 4 * strip)
  }
  return moved
}

/** Whether every pixel is within `tolerance` of the colour: JPEG is not exact. */
function expectColour(values: readonly number[], colour: Colour | readonly [number], tolerance: number): void {
  for (const [at, value] of values.entries()) {
    expect(Math.abs(value - (colour[at % colour.length] as number)), `value ${at} is ${value}`).toBeLessThanOrEqual(tolerance)
  }
}

describe('a folder of images per class', () => {
  it('in train and val folders has the classes of train in the order of their names, and labels by them', async () => {
    await writeFiles(data, { ...colouredClasses('train/', 3), 'val/dog/x.png': plain([40, 30], [9, 9, 9]) })
    const dataset = await open()
    expect(dataset).toMatchObject({ storage: 'files', name: 'data', shape: SMALL, classes: 2, classNames: ['cat', 'dog'] })
    expect([...dataset.train.labels]).toEqual([0, 0, 0, 1, 1, 1])
    expect([...dataset.test.labels]).toEqual([1])
    expectColour(await pixels(dataset, 'train', 1), [0, 0, 101], 0)
    expectColour(await pixels(dataset, 'train', 5), [102, 0, 0], 0)
    expectColour(await pixels(dataset, 'test', 0), [9, 9, 9], 0)
  })

  it('prefers test to val, and takes images in folders below a class, upper case names and links', async () => {
    await writeFiles(data, { ...colouredClasses('train/', 2), ...colouredClasses('val/', 5), ...colouredClasses('test/', 1) })
    await writeFiles(data, { 'train/cat/more/a.PNG': plain([40, 30], [1, 2, 3]), 'elsewhere.tmp/owl/a.png': plain([40, 30], [4, 5, 6]) })
    await symlink(join(data, 'elsewhere.tmp', 'owl'), join(data, 'train', 'owl'))
    await symlink(join(data, 'elsewhere.tmp', 'owl', 'a.png'), join(data, 'train', 'dog', 'z.png'))
    const dataset = await open()
    expect([...dataset.train.labels]).toEqual([0, 0, 0, 1, 1, 1, 2])
    expect(dataset.test.count).toBe(2)
    expectColour(await pixels(dataset, 'train', 2), [1, 2, 3], 0)
    expectColour(await pixels(dataset, 'train', 5, 6), [4, 5, 6], 0)
  })

  it('with a validation folder beside test has a split of its own for it, from files and from memory', async () => {
    const write = (size?: readonly [number, number]) =>
      writeFiles(data, {
        ...colouredClasses('train/', 3, size),
        ...colouredClasses('test/', 1, size),
        ...colouredClasses('valid/', 2, size),
      })
    await write()
    const warnings: DatasetProgress[] = []
    const inFiles = await open({ onProgress: (progress) => progress.kind === 'warning' && warnings.push(progress) })
    expect(warnings).toEqual([])
    expect({ storage: inFiles.storage, counts: [inFiles.train, inFiles.test, inFiles.validation].map((split) => split?.count) }).toEqual({
      storage: 'files',
      counts: [6, 2, 4],
    })
    expectColour(await pixels(inFiles, 'validation', 1), [0, 0, 101], 0)
    expectColour(await pixels(inFiles, 'validation', 2), [100, 0, 0], 0)
    await rm(join(data, 'valid'), { recursive: true })
    expect((await open()).fingerprint).not.toBe(inFiles.fingerprint)
    expect((await open()).validation).toBeUndefined()

    await write([8, 8])
    for (let opening = 0; opening < 2; opening++) {
      const inMemory = await open()
      expect({ storage: inMemory.storage, labels: [...(inMemory.validation?.labels ?? [])] }).toEqual({
        storage: 'memory',
        labels: [0, 0, 1, 1],
      })
      expectColour(await pixels(inMemory, 'validation', 3), [101, 0, 0], 0)
    }
    expect(await inspectDataset(data, { cacheFolder, input: () => SMALL })).toMatchObject({
      images: { train: 6, test: 2, validation: 4 },
      validationFolder: 'valid',
      classes: [
        { name: 'cat', train: 3, test: 1, validation: 2 },
        { name: 'dog', train: 3, test: 1, validation: 2 },
      ],
      duplicates: { acrossSplits: 4 },
    })
    await writeFiles(data, { 'valid/owl/a.png': plain([8, 8], [1, 1, 1]) })
    await expect(open()).rejects.toMatchObject({ code: 'unknown-class', file: join(data, 'valid', 'owl') })
  })

  describe('with names in several forms of Unicode', () => {
    const forms = { composed: 'NFC', decomposed: 'NFD' } as const
    /** `ä` before and `äz` behind `b` in one form, the other way round in the other. */
    const named = (form: 'NFC' | 'NFD', prefix = ''): Record<string, ReturnType<typeof plain>> =>
      Object.fromEntries(
        ['Äpfel', 'Azteken', 'Kürbis', 'Kz'].flatMap((name, at) =>
          ['é.png', 'ez.png', 'f.png', 'über/u.png'].map((file, i) => [
            prefix + `${name}/${file}`.normalize(form),
            plain([40, 30], [40 * at, 50 * i, 9]),
          ]),
        ),
      )

    it('the same data have the same classes, order, splits and fingerprint', async () => {
      for (const [place, form] of Object.entries(forms)) await writeFiles(join(folder, place), named(form))
      const [composed, decomposed] = await Promise.all(Object.keys(forms).map((place) => open({ ref: join(folder, place) })))
      expect(decomposed?.fingerprint).toBe(composed?.fingerprint)
      expect(decomposed?.classNames).toEqual(['Azteken', 'Kz', 'Kürbis', 'Äpfel'].map((name) => name.normalize('NFC')))
      expect(composed?.classNames).toEqual(decomposed?.classNames)
      for (const split of ['train', 'test'] as const) {
        const { count } = (composed as Dataset)[split]
        const all = Array.from({ length: count }, (_, index) => index)
        expect(await pixels(decomposed as Dataset, split, ...all)).toEqual(await pixels(composed as Dataset, split, ...all))
      }
    })

    it('a test class is that of the train folder, whatever its form', async () => {
      await writeFiles(data, { ...named('NFD', 'train/'), 'val/Äpfel/a.png': plain([40, 30], [1, 1, 1]) })
      const dataset = await open()
      expect([...dataset.test.labels]).toEqual([3])
    })

    it('two folders of one name are one class, with the fingerprint of a folder that has all', async () => {
      await writeFiles(join(folder, 'whole'), named('NFC'))
      const files = Object.entries(named('NFC'))
      await writeFiles(data, Object.fromEntries(files.map(([path, image], at) => [path.normalize(at % 2 === 0 ? 'NFC' : 'NFD'), image])))
      const dataset = await open()
      expect(dataset.classNames).toHaveLength(4)
      expect(dataset.fingerprint).toBe((await open({ ref: join(folder, 'whole') })).fingerprint)
    })
  })

  it('skips whatever a name with a dot in front is part of, at any depth', async () => {
    await writeFiles(data, colouredClasses('', 3))
    const before = await open()
    const png = plain([40, 30], [9, 9, 9])
    await writeFiles(data, {
      'cat/.ipynb_checkpoints/000-checkpoint.png': png.clone(),
      'cat/.cache/deep/er/a.png': png.clone(),
      'cat/._000.png': png.clone(),
      'dog/kept/.trash/b.png': png.clone(),
      'dog/.git/config': 'text',
      '.thumbnails/owl/a.png': png.clone(),
    })
    const after = await open()
    expect(after).toMatchObject({ classNames: ['cat', 'dog'], fingerprint: before.fingerprint })
    expect(after.train.count + after.test.count).toBe(6)
    await writeFiles(join(folder, 'only-hidden'), { 'owl/._a.png': png.clone(), 'owl/notes.txt': 'text' })
    await expect(open({ ref: join(folder, 'only-hidden') })).rejects.toMatchObject({ code: 'files-missing' })
    // A folder above the data is no part of them.
    await cp(data, join(folder, '.hidden', 'data'), { recursive: true })
    expect((await open({ ref: join(folder, '.hidden', 'data') })).fingerprint).toBe(before.fingerprint)
  })

  it('without a train folder gives a tenth of each class to the test split, the same on every machine', async () => {
    await writeFiles(data, {
      ...colouredClasses('', 20),
      'owl/only.png': plain([40, 30], [1, 1, 1]),
      'owl/two.png': plain([40, 30], [2, 2, 2]),
    })
    const dataset = await open()
    expect([...dataset.test.labels]).toEqual([0, 0, 1, 1, 2])
    expect(dataset.train.count).toBe(42 - 5)
    const copy = join(folder, 'other')
    await cp(data, copy, { recursive: true })
    expect((await open({ ref: `images:${copy}` })).fingerprint).toBe(dataset.fingerprint)
    const blues = async (split: 'train' | 'test') =>
      await Promise.all(Array.from({ length: split === 'test' ? 2 : 18 }, async (_, i) => (await pixels(dataset, split, i))[2] as number))
    const [train, test] = await Promise.all([blues('train'), blues('test')])
    expect([...train, ...test].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => 100 + i))
  })

  it('has another fingerprint when a file, its name or a class changes, and the same when only times do', async () => {
    await writeFiles(data, colouredClasses('', 3))
    const first = (await open()).fingerprint
    await utimes(join(data, 'cat', '000.png'), new Date(0), new Date(0))
    expect((await open()).fingerprint).toBe(first)
    await writeFiles(data, { 'cat/000.png': plain([40, 30], [0, 1, 100]) })
    const second = (await open()).fingerprint
    await rename(join(data, 'cat', '000.png'), join(data, 'cat', '000a.png'))
    const third = (await open()).fingerprint
    await rename(join(data, 'dog'), join(data, 'eagle'))
    expect(new Set([first, second, third, (await open()).fingerprint]).size).toBe(4)
  })

  it('reads only new and changed files when it is opened again', async () => {
    await writeFiles(data, colouredClasses('', 3))
    const read = async () => {
      const files: string[] = []
      await open({ onProgress: (progress) => progress.kind === 'reading' && files.push(progress.file) })
      return files
    }
    expect(await read()).toHaveLength(6)
    expect(await read()).toEqual([])
    await writeFiles(data, { 'dog/000.png': plain([41, 30], [7, 7, 7]) })
    expect(await read()).toEqual([join(data, 'dog', '000.png')])
    const index = (await readdir(cacheFolder)).find((name) => name.endsWith('.index'))
    const file = join(cacheFolder, index as string)
    const bytes = await readFile(file)
    for (const damaged of [bytes.subarray(0, bytes.length - 5), bytes.map((byte, at) => (at === 60 ? byte ^ 1 : byte)), Buffer.alloc(0)]) {
      await writeFile(file, damaged)
      expect(await read()).toHaveLength(6)
    }
  })

  it('takes labels beyond 255', async () => {
    const files = Array.from({ length: 300 }, (_, i) => [0, 1].map((n) => [`${String(i).padStart(3, '0')}/${n}.png`, i] as const)).flat()
    const bytes = await Promise.all(
      files.map(
        async ([path, i]) =>
          [
            path,
            await plain([4, 4], [i % 256, i >> 8, 0])
              .png()
              .toBuffer(),
          ] as const,
      ),
    )
    await writeFiles(data, Object.fromEntries(bytes))
    for (const input of [
      [2, 2, 3],
      [4, 4, 3],
    ] as const) {
      const dataset = await open({ input })
      expect(dataset.storage).toBe(input[0] === 2 ? 'files' : 'memory')
      expect(dataset.classes).toBe(300)
      const { labels } = await readBatch(dataset, { split: 'train', indices: Uint32Array.of(299, 255, 0) })
      expect([...labels]).toEqual([299, 255, 0])
      expect((await pixels(dataset, 'train', 299)).slice(0, 3)).toEqual([299 - 256, 1, 0])
      expect((await open({ input })).train.labels).toEqual(dataset.train.labels)
    }
  })
})

describe('images of every kind', () => {
  const halves = async () => {
    const left = await plain([30, 20], [250, 0, 0]).png().toBuffer()
    return sharp(await plain([60, 20], [0, 0, 250]).png().toBuffer()).composite([{ input: left, left: 0, top: 0 }])
  }
  const kinds: Record<string, { make: () => Promise<Uint8Array>; name: string; colour: Colour; tolerance: number }> = {
    JPEG: {
      make: () => plain([40, 30], [10, 200, 90]).jpeg({ quality: 95 }).toBuffer(),
      name: 'a.jpg',
      colour: [10, 200, 90],
      tolerance: 3,
    },
    'grey JPEG': {
      make: () => plain([40, 30], [120, 120, 120]).toColourspace('b-w').jpeg({ quality: 95 }).toBuffer(),
      name: 'a.jpeg',
      colour: [120, 120, 120],
      tolerance: 2,
    },
    // By way of an ink profile, which darkens greys a little; a negative would give 55.
    'CMYK JPEG': {
      make: () => plain([40, 30], [200, 200, 200]).toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer(),
      name: 'a.jpg',
      colour: [200, 200, 200],
      tolerance: 20,
    },
    'half transparent PNG, on black': {
      make: () =>
        sharp({ create: { width: 40, height: 30, channels: 4, background: { r: 200, g: 100, b: 50, alpha: 0.5 } } })
          .png()
          .toBuffer(),
      name: 'a.png',
      colour: [100, 50, 25],
      tolerance: 1,
    },
    'PNG of 16 bits': {
      make: () => plain([40, 30], [10, 200, 90]).toColourspace('rgb16').png().toBuffer(),
      name: 'a.png',
      colour: [10, 200, 90],
      tolerance: 1,
    },
    'grey PNG of 16 bits': {
      make: () => plain([40, 30], [77, 77, 77]).toColourspace('grey16').png().toBuffer(),
      name: 'a.png',
      colour: [77, 77, 77],
      tolerance: 1,
    },
    WebP: {
      make: () => plain([40, 30], [10, 200, 90]).webp({ lossless: true }).toBuffer(),
      name: 'a.webp',
      colour: [10, 200, 90],
      tolerance: 0,
    },
    AVIF: {
      make: () => plain([40, 30], [10, 200, 90]).avif({ quality: 90 }).toBuffer(),
      name: 'a.avif',
      colour: [10, 200, 90],
      tolerance: 4,
    },
    'PNG called .jpg': { make: () => plain([40, 30], [10, 200, 90]).png().toBuffer(), name: 'a.jpg', colour: [10, 200, 90], tolerance: 0 },
    'an image of one row': {
      make: () => plain([300, 1], [10, 200, 90]).png().toBuffer(),
      name: 'a.png',
      colour: [10, 200, 90],
      tolerance: 0,
    },
    'an image smaller than the input': {
      make: () => plain([3, 5], [10, 200, 90]).png().toBuffer(),
      name: 'a.png',
      colour: [10, 200, 90],
      tolerance: 0,
    },
    'a large JPEG, shrunk as it is decoded': {
      make: () => plain([1200, 900], [10, 200, 90]).jpeg({ quality: 95 }).toBuffer(),
      name: 'a.jpg',
      colour: [10, 200, 90],
      tolerance: 3,
    },
  }
  for (const [name, { make, name: file, colour, tolerance }] of Object.entries(kinds)) {
    it(`${name} becomes sRGB, or grey where the input has one channel`, async () => {
      await writeFiles(data, { ...colouredClasses('train/', 1), ...colouredClasses('test/', 1), [`train/cat/${file}`]: await make() })
      // 000.png is before a.*.
      expectColour(await pixels(await open(), 'train', 1), colour, tolerance)
      const [red, green, blue] = colour
      const grey = await pixels(await open({ input: [8, 8, 1] }), 'train', 1)
      if (red === green && green === blue) expectColour(grey, [red], tolerance)
      else expect(new Set(grey).size).toBe(1)
    })
  }

  it('are turned as EXIF says before anything is cut from them', async () => {
    const upright = await halves()
    // Orientation 6: shown turned a quarter clockwise, so what is stored on the left is shown at the top.
    const turned = await sharp(await upright.png().toBuffer())
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 95 })
      .toBuffer()
    await writeFiles(data, { ...colouredClasses('train/', 1), ...colouredClasses('test/', 1), 'train/cat/a.jpg': turned })
    const dataset = await open({ input: [8, 2, 3] })
    const values = await pixels(dataset, 'train', 1)
    expectColour(values.slice(0, 2 * 2 * 3), [250, 0, 0], 12)
    expectColour(values.slice(6 * 2 * 3), [0, 0, 250], 12)
  })

  // 100: cut out, then scaled. 32: scaled first, which places the cut to half a pixel of the input, 3.5 levels here.
  it.each([
    [100, 2],
    [32, 5.5],
  ])('show evaluation the centre that 224 of 256 keep, at %i×%i', async (side, tolerance) => {
    await writeFiles(data, { ...colouredClasses('train/', 1), ...colouredClasses('test/', 1), 'train/cat/a.png': gradient([400, 200]) })
    const values = await pixels(await open({ input: [side, side, 3] }), 'train', 1)
    // The centre is 175×175 of 400×200: columns 112.5 to 287.5, rows 12.5 to 187.5.
    const cell = 175 / side
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const at = (y * side + x) * 3
        expect(Math.abs((values[at] as number) - (255 * (112 + (x + 0.5) * cell)) / 399)).toBeLessThan(tolerance)
        expect(Math.abs((values[at + 1] as number) - (255 * (12 + (y + 0.5) * cell)) / 199)).toBeLessThan(tolerance)
      }
    }
  })

  it('are shrunk as they are decoded to the same pixels as without', async () => {
    const large = gradient([1600, 1200])
    await writeFiles(data, {
      ...colouredClasses('train/', 1),
      ...colouredClasses('test/', 1),
      'train/cat/a.jpg': await large.clone().jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer(),
      'train/cat/b.png': await large.clone().png().toBuffer(),
    })
    const dataset = await open({ input: [32, 32, 3] })
    for (let step = 0; step < 5; step++) {
      const request = (index: number): BatchRequest => ({
        split: 'train',
        indices: Uint32Array.of(index),
        augmentation: { settings: { flip: false, shift: 0 }, seed: [step] },
      })
      const jpeg = (await readBatch(dataset, request(1))).images
      const png = (await readBatch(dataset, request(2))).images
      const worst = Math.max(
        ...jpeg.map((value, at) => Math.abs(value - (png[at] as number)) * (dataset.normalisation.std[at % 3] as number) * 255),
      )
      expect(worst).toBeLessThan(4)
    }
  })
})

describe('small images', () => {
  it('no larger than 256/224 of the input are decoded once into memory, and then come from the cache', async () => {
    await writeFiles(data, { ...colouredClasses('', 10, [9, 9]), 'cat/sharp.png': gradient([8, 8]) })
    const dataset = await open()
    expect(dataset.storage).toBe('memory')
    expect((await open({ input: [7, 7, 3] })).storage).toBe('files')
    const seen: string[] = []
    const again = await open({ onProgress: ({ kind }) => seen.push(kind) })
    expect(again).toEqual(dataset)
    expect(seen).toEqual([])
    expect((await open({ input: [7, 7, 3] })).fingerprint).toBe(dataset.fingerprint)
  })

  it('of exactly the input are kept pixel by pixel', async () => {
    const image = gradient([8, 8])
    await writeFiles(data, {
      'train/a/0.png': image.clone(),
      'train/b/0.png': plain([8, 8], [1, 2, 3]),
      'test/a/0.png': plain([8, 8], [3, 2, 1]),
    })
    const dataset = await open()
    expect(dataset.storage).toBe('memory')
    expect(await pixels(dataset, 'train', 0)).toEqual([...(await image.raw().toBuffer())])
  })
})

describe('the second opening', () => {
  it('takes mean and deviation from the cache, where they are of these images, and makes a damaged file again', async () => {
    await writeFiles(data, colouredClasses('', 10))
    const first = await open()
    const kept = join(cacheFolder, (await readdir(cacheFolder)).find((name) => name.endsWith('.json')) as string)
    const written = await readFile(kept, 'utf8')
    // Other numbers in it tell that they are read.
    await writeFile(kept, JSON.stringify({ ...JSON.parse(written), mean: [0.1, 0.2, 0.3] }))
    expect((await open()).normalisation).toEqual({ ...first.normalisation, mean: [0.1, 0.2, 0.3] })
    expect((await open({ input: [7, 8, 3] })).normalisation.mean).not.toEqual([0.1, 0.2, 0.3])

    const said: DatasetProgress[] = []
    await writeFile(kept, written.slice(0, 40))
    expect((await open({ onProgress: (progress) => void said.push(progress) })).normalisation).toEqual(first.normalisation)
    expect(said).toEqual([{ kind: 'rebuilding-cache', cacheFile: kept, reason: 'it is no file of mean and deviation' }])
    expect(await readFile(kept, 'utf8')).toBe(written)
  })
})

describe('broken images', () => {
  /** Noise, so that half of the bytes are half of the rows. */
  const truncated = async () => {
    const noise = Buffer.from(Array.from({ length: 60 * 60 * 3 }, (_, at) => (at * 7919 + ((at * at) % 251)) % 256))
    const whole = await sharp(noise, { raw: { width: 60, height: 60, channels: 3 } })
      .jpeg()
      .toBuffer()
    return whole.subarray(0, whole.length / 2)
  }
  const write = async (prefix = 'train/') =>
    writeFiles(data, {
      ...colouredClasses(prefix, 3),
      ...(prefix === '' ? {} : colouredClasses('test/', 1)),
      [`${prefix}cat/0text.jpg`]: 'not an image',
      [`${prefix}cat/1cut.jpg`]: await truncated(),
      [`${prefix}dog/zzz-empty.png`]: '',
    })

  it('are named when the folder is opened or when they are met, and replaced by the next of their class', async () => {
    await write()
    const progress: DatasetProgress[] = []
    const dataset = await open({ onProgress: (event) => progress.push(event) })
    const named = progress.flatMap((event) => (event.kind === 'broken-image' ? [event.file] : []))
    expect(named).toEqual([join(data, 'train/cat/0text.jpg'), join(data, 'train/dog/zzz-empty.png')])
    // cat: 000 001 002 0text 1cut; dog: 000 001 002 zzz-empty.
    const source = await openBatchSource(dataset)
    const { value } = await source.batches([{ split: 'train', indices: Uint32Array.of(3, 4, 8, 0, 5) }]).next()
    const { images, labels } = value as Batch
    const image = (slot: number) => images.subarray(slot * 192, (slot + 1) * 192)
    expect([...labels]).toEqual([0, 0, 1, 0, 1])
    for (const slot of [0, 1]) expect(image(slot)).toEqual(image(3))
    expect(image(2)).toEqual(image(4))
    expect(source.brokenFiles()).toEqual(['train/cat/0text.jpg', 'train/cat/1cut.jpg', 'train/dog/zzz-empty.png'])
  })

  it('that end early are found in every format, and replaced', async () => {
    const noisy = () =>
      sharp({ create: { width: 60, height: 50, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 40 } } })
    const formats = {
      'a.jpg': noisy().jpeg(),
      'b.png': noisy().png(),
      'c.webp': noisy().webp(),
      'd.tif': noisy().tiff({ compression: 'none' }),
      'e.tif': noisy().tiff({ compression: 'lzw' }),
      'f.gif': noisy().gif(),
      'g.avif': noisy().avif({ effort: 0 }),
    }
    for (const [name, image] of Object.entries(formats)) {
      const bytes = await image.toBuffer()
      // sharp puts the directory of a TIFF behind its pixels, and others in front: here the pixels end early, as in those.
      const isTiff = name.endsWith('.tif')
      const cut = isTiff ? pixelsLast(bytes) : bytes
      await writeFiles(data, { [`cat/${name}`]: cut.subarray(0, Math.floor(cut.length * 0.6)) })
    }
    await writeFiles(data, { 'cat/whole.png': plain([60, 50], [1, 2, 3]), 'cat/whole2.png': plain([60, 50], [1, 2, 3]) })
    await writeFiles(data, { 'dog/a.png': plain([60, 50], [9, 9, 9]), 'dog/b.png': plain([60, 50], [9, 9, 9]) })
    await rename(join(data, 'dog'), join(folder, 'dog'))
    await cp(data, join(folder, 'split', 'train'), { recursive: true })
    await cp(join(folder, 'dog'), join(folder, 'split', 'train', 'dog'), { recursive: true })
    await writeFiles(join(folder, 'split'), { 'val/cat/v.png': plain([60, 50], [1, 2, 3]) })
    const met = new Set<string>()
    const dataset = await open({
      ref: join(folder, 'split'),
      onProgress: (progress) => progress.kind === 'broken-image' && met.add(progress.file.split('/').at(-1) as string),
    })
    const source = await openBatchSource(dataset)
    const indices = Uint32Array.from({ length: 9 }, (_, index) => index)
    for await (const { labels } of source.batches([{ split: 'train', indices }])) expect(labels.length).toBe(9)
    for (const file of source.brokenFiles()) met.add(file.split('/').at(-1) as string)
    expect([...met].sort()).toEqual(Object.keys(formats))
    expectColour(await pixels(dataset, 'train', ...indices), [1, 2, 3], 0)
  })

  it('have a reason of one line that follows from their bytes, whatever else is decoded at the time', async () => {
    const photo = await gradient([60, 40]).png().toBuffer()
    const files = {
      'empty.jpg': ['', 'it is empty'],
      'page.jpg': ['<!DOCTYPE html><p>403', 'it is a web page, not an image that can be read: download it again'],
      'lfs.png': [
        'version https://git-lfs.github.com/spec/v1\noid',
        'it is a pointer of Git LFS, not an image that can be read: git lfs pull',
      ],
      'notes.png': ['some text', 'it is text, not an image that can be read'],
      'head.png': [photo.subarray(0, 20), 'it is a PNG file whose header is cut or damaged'],
      'cut.png': [photo.subarray(0, photo.length / 2), 'it is a PNG file whose pixels end early or are damaged'],
      'zeros.png': [new Uint8Array(900), 'it is no image'],
    } as const
    await writeFiles(data, { ...colouredClasses('train/', 1), ...colouredClasses('val/', 1) })
    // Many of each, so that the decoder's threads fail side by side.
    for (let copy = 0; copy < 5; copy++) {
      for (const [name, [bytes]] of Object.entries(files)) await writeFiles(data, { [`train/cat/${copy}-${name}`]: bytes })
    }
    const { broken } = await inspectDataset(data, { cacheFolder, input: () => SMALL })
    expect(broken.count).toBe(35)
    for (const { file, reason } of broken.examples) {
      expect([file, reason]).toEqual([file, files[file.slice('train/cat/0-'.length) as keyof typeof files][1]])
    }
  })

  it('of 16 bits that use a small part of them are broken, others are scaled', async () => {
    const deep = (low: number, high: number) => {
      const values = Uint16Array.from({ length: 40 * 30 }, (_, at) => (at % 40 < 20 ? low : high))
      return sharp(values, { raw: { width: 40, height: 30, channels: 1 } }).toColourspace('grey16')
    }
    await writeFiles(data, {
      'train/cat/0.tif': await deep(51, 209).tiff({ compression: 'none' }).toBuffer(),
      'train/cat/1.tif': await deep(0, 65_535).tiff({ compression: 'none' }).toBuffer(),
      'train/dog/0.png': plain([40, 30], [9, 9, 9]),
      'val/dog/0.png': plain([40, 30], [9, 9, 9]),
    })
    const broken: string[] = []
    const dataset = await open({
      onProgress: (progress) => progress.kind === 'broken-image' && broken.push(progress.file, progress.reason),
    })
    expect(broken).toEqual([
      join(data, 'train', 'cat', '0.tif'),
      'its values, 51 to 209, are all one in 8 bits; give --bits 16, or scale them',
    ])
    const values = await pixels(dataset, 'train', 0)
    expect([values[0], values[7 * 3]].map((value) => Math.abs(value as number))).toEqual([0, 255])
  })

  it('are replaced in memory too, and still named when the cache is used', async () => {
    await writeFiles(data, {
      ...colouredClasses('', 5, [8, 8]),
      'cat/000.png': 'nothing',
      'cat/001.png': (await truncated()).subarray(0, 200),
    })
    for (let opening = 0; opening < 2; opening++) {
      const dataset = await open()
      expect(dataset.storage).toBe('memory')
      expect((await openBatchSource(dataset)).brokenFiles()).toEqual(['cat/000.png', 'cat/001.png'])
    }
  })

  it('all of one class: broken-images, at the opening or at the batch', async () => {
    await writeFiles(data, {
      ...colouredClasses('train/', 2),
      ...colouredClasses('test/', 1),
      'train/owl/a.png': 'x',
      'train/owl/b.png': 'y',
    })
    await expect(open()).rejects.toMatchObject({
      code: 'broken-images',
      message: expect.stringMatching(/class owl of .*, got only files that are none, such as train\/owl\/a\.png: it is text, not an image/),
    })
    await writeFiles(data, { 'train/owl/a.png': await truncated(), 'train/owl/b.png': await truncated() })
    const thrown = await open()
      .then((dataset) => readBatch(dataset, { split: 'train', indices: Uint32Array.of(5) }))
      .catch((error: unknown) => error)
    expect(thrown).toMatchObject({
      code: 'broken-images',
      message: expect.stringMatching(/among the 2 of class 2 like .*owl.[ab]\.png, got none: it is a JPEG file whose pixels end early/),
    })
  })

  it('are not those that cannot be read any more: other machines train on them', async () => {
    await writeFiles(data, { ...colouredClasses('train/', 2), ...colouredClasses('test/', 1) })
    const dataset = await open()
    await rm(join(data, 'train', 'dog', '001.png'))
    await expect(readBatch(dataset, { split: 'train', indices: Uint32Array.of(3) })).rejects.toMatchObject({
      code: 'file-unreadable',
      file: join(data, 'train', 'dog', '001.png'),
    })
  })
})

describe('a folder that is probably not meant so is warned of', () => {
  const warningsOf = async (ref = data) => {
    const warnings: string[] = []
    await open({ ref, onProgress: (progress) => progress.kind === 'warning' && warnings.push(progress.message) })
    return warnings
  }

  it('where images of a split are in no class folder', async () => {
    const png = await plain([40, 30], [1, 2, 3]).png().toBuffer()
    await writeFiles(data, { ...colouredClasses('train/', 4), 'val/a.png': png, 'val/b.png': png, 'val/notes.txt': 'x' })
    const warning = expect.stringMatching(
      /^val\/ has 2 images that are in no class folder, .* a tenth of the images of each class of train\/ is the test split instead; move them to val\/CLASS\//,
    )
    expect(await warningsOf()).toEqual([warning])
    await writeFiles(data, colouredClasses('test/', 1))
    expect(await warningsOf()).toEqual([])
  })

  it('where folders of splits are taken for classes', async () => {
    await writeFiles(data, { ...colouredClasses('training/', 4), ...colouredClasses('testing/', 2) })
    expect(await warningsOf(`images:${data}`)).toEqual([
      `testing/, training/ each hold folders called cat, dog: they are taken for classes, but look like splits; ` +
        `call them train/ and test/, or name one of them, images:${join(data, 'training')}`,
    ])
    expect(await warningsOf(`images:${join(data, 'training')}`)).toEqual([])
    const png = await plain([40, 30], [1, 2, 3]).png().toBuffer()
    await writeFiles(folder, {
      'pets/cat/young/a.png': png,
      'pets/cat/old/b.png': png,
      'pets/dog/big/a.png': png,
      'pets/dog/old/b.png': png,
    })
    expect(await warningsOf(`images:${join(folder, 'pets')}`)).toEqual([])
  })
})

describe('a folder that cannot be trained on says what is wrong with it', () => {
  const png = plain([40, 30], [1, 2, 3])
  const cases: Record<string, { make: () => Promise<unknown>; code: string; message: RegExp; ref?: () => string; input?: ImageShape }> = {
    'an empty class folder': {
      make: async () => {
        await writeFiles(data, colouredClasses('train/', 2))
        await mkdir(join(data, 'train', 'owl'))
      },
      code: 'empty-class',
      message: /images in the class folder .*train.owl, got none/,
    },
    'a class folder with other files only': {
      make: () => writeFiles(data, { ...colouredClasses('', 2), 'notes/readme.txt': 'x' }),
      code: 'empty-class',
      message: /notes, got only 1 other files/,
    },
    'a test class that is not trained on': {
      make: () => writeFiles(data, { ...colouredClasses('train/', 2), 'val/owl/a.png': png.clone(), 'val/cat/b.png': png.clone() }),
      code: 'unknown-class',
      message: /got .*val.owl with 1 images/,
    },
    'no classes': {
      make: () => writeFiles(data, { 'a.png': png.clone() }),
      ref: () => `images:${data}`,
      code: 'no-classes',
      message: /a folder per class in .*data, got none; looked for .*train\/CLASS/,
    },
    'all images in one folder': {
      make: () => writeFiles(data, { 'photos/a.png': png.clone(), 'photos/b.png': png.clone(), 'photos/c.png': png.clone() }),
      code: 'one-class',
      message: /at least 2 classes in .*data, got all 2 of one, photos; looked for folders of images .*, one per class: train\/CLASS/,
    },
    'all images in one folder below train': {
      make: () => writeFiles(data, { 'train/photos/a.png': png.clone(), 'val/photos/b.png': png.clone() }),
      code: 'one-class',
      message: /got all 1 of one, photos/,
    },
    'an input beyond all spaces': {
      make: () => writeFiles(data, colouredClasses('', 2)),
      input: [8, 1025, 3],
      code: 'too-large',
      message: /at most 1024×1024×64, which is what a space takes, got 8×1025×3/,
    },
    'splits that are called otherwise': {
      make: () => writeFiles(data, { ...colouredClasses('training/', 2), ...colouredClasses('testing/', 1) }),
      code: 'files-missing',
      message:
        /found no dataset in .*data; .*data.testing looks like a folder of images: name it, or call the folders of splits train\/ and test\/; looked/,
    },
    'images without folders, not called images': {
      make: () => writeFiles(data, { 'a.png': png.clone() }),
      code: 'files-missing',
      message: /found no dataset in .*train-images-idx3.*data_batch_1\.bin.*folders of images/,
    },
    'one image in each class and no test folder': {
      make: () => writeFiles(data, { 'a/a.png': png.clone(), 'b/b.png': png.clone() }),
      code: 'empty-dataset',
      message: /two images or more/,
    },
    'no folder': { make: async () => undefined, ref: () => `images:${data}`, code: 'folder-missing', message: /ENOENT.*folders of images/ },
    'an input of two channels': {
      make: () => writeFiles(data, colouredClasses('', 2)),
      input: [8, 8, 2],
      code: 'shape-mismatch',
      message: /cat.000\.png: the space takes images of 2 channels, it has 3/,
    },
  }
  for (const [name, { make, code, message, ref, input }] of Object.entries(cases)) {
    it(`${name}: ${code}`, async () => {
      await make()
      const thrown = await open({ ref: ref?.(), input }).catch((error: unknown) => error)
      expect(thrown).toMatchObject({ name: 'DatasetError', code, message: expect.stringMatching(message) })
    })
  }

  // Root may read everything.
  it.runIf(process.getuid?.() !== 0)('a class folder that may not be read: file-unreadable', async () => {
    await writeFiles(data, colouredClasses('', 2))
    await chmod(join(data, 'cat'), 0)
    await expect(open()).rejects.toMatchObject({ code: 'file-unreadable', file: join(data, 'cat') })
    await chmod(join(data, 'cat'), 0o700)
  })

  it('another number of classes than asked for: label-out-of-range', async () => {
    await writeFiles(data, colouredClasses('', 2))
    await expect(openDataset(data, { cacheFolder, classes: 3 })).rejects.toMatchObject({ code: 'label-out-of-range' })
  })
})
