// CIFAR's binary files, written byte by byte as their authors describe them.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { openInMemory } from '../fixtures/memory-dataset.ts'

let folder: string
let cacheFolder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatehouse-cifar-'))
  cacheFolder = join(folder, '.cache')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Value of a pixel, different for every image, row, column and colour. */
const pixel = (image: number, y: number, x: number, colour: number) => (image * 31 + y * 7 + x * 3 + colour * 101) % 256

/** One record: its label bytes, 1024 red values, 1024 green ones, 1024 blue ones. */
function record(image: number, labels: readonly number[]): number[] {
  const bytes = [...labels]
  for (let colour = 0; colour < 3; colour++) {
    for (let y = 0; y < 32; y++) for (let x = 0; x < 32; x++) bytes.push(pixel(image, y, x, colour))
  }
  return bytes
}

const file = (...records: number[][]) => Uint8Array.from(records.flat())

/** Train image i has label i mod 10; two images in each of five parts. */
async function writeCifar10(place = folder): Promise<void> {
  await mkdir(place, { recursive: true })
  for (let part = 0; part < 5; part++) {
    const images = [2 * part, 2 * part + 1]
    await writeFile(join(place, `data_batch_${part + 1}.bin`), file(...images.map((image) => record(image, [image]))))
  }
  await writeFile(join(place, 'test_batch.bin'), file(record(50, [3]), record(51, [9])))
}

async function writeCifar100(place = folder): Promise<void> {
  await mkdir(place, { recursive: true })
  await writeFile(join(place, 'train.bin'), file(record(0, [19, 99]), record(1, [0, 42]), record(2, [5, 0])))
  await writeFile(join(place, 'test.bin'), file(record(3, [7, 42])))
}

/** Bytes of a Python 2 pickle of protocol 2, as the authors' files are. */
const ascii = (text: string) => [...Buffer.from(text, 'latin1')]
const int32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255]
const shortText = (text: string) => [0x55, text.length, ...ascii(text)]
const list = (items: readonly number[][]) => [0x5d, 0x28, ...items.flat(), 0x65]
const smallInt = (value: number) => [0x4b, value]
const dictionary = (entries: Readonly<Record<string, number[]>>) =>
  Uint8Array.from([0x80, 2, 0x7d, 0x28, ...Object.entries(entries).flatMap(([key, value]) => [...shortText(key), ...value]), 0x75, 0x2e])

/** numpy.core.multiarray._reconstruct(ndarray, (0,), 'b'), and its state: (1, (n, 3072), dtype('u1'), False, bytes). */
function pickledArray(rows: readonly number[][]): number[] {
  const shape = [0x4a, ...int32(rows.length), 0x4d, 0x00, 0x0c, 0x86]
  const type = [0x63, ...ascii('numpy\ndtype\n'), ...shortText('u1'), ...smallInt(0), ...smallInt(1), 0x87, 0x52]
  // (3, '|', None, None, None, -1, -1, 0)
  const typeState = [
    0x28,
    ...smallInt(3),
    ...shortText('|'),
    0x4e,
    0x4e,
    0x4e,
    0x4a,
    ...int32(-1),
    0x4a,
    ...int32(-1),
    ...smallInt(0),
    0x74,
    0x62,
  ]
  const values = [0x54, ...int32(rows.length * 3072), ...rows.flat()]
  const state = [...smallInt(1), ...shape, ...type, ...typeState, 0x89, ...values]
  const made = [
    0x63,
    ...ascii('numpy.core.multiarray\n_reconstruct\n'),
    0x63,
    ...ascii('numpy\nndarray\n'),
    ...smallInt(0),
    0x85,
    ...shortText('b'),
    0x87,
    0x52,
  ]
  return [...made, 0x28, ...state, 0x74, 0x62]
}

/** What `writeCifar10` and `writeCifar100` write, for Python. */
async function writePython(place = folder): Promise<void> {
  await mkdir(place, { recursive: true })
  const batch = (key: string, images: readonly (readonly [image: number, label: number])[]) =>
    dictionary({
      batch_label: shortText('some batch'),
      [key]: list(images.map(([, label]) => smallInt(label))),
      data: pickledArray(images.map(([image]) => record(image, []))),
      filenames: list(images.map(([image]) => shortText(`image_${image}.png`))),
    })
  for (let part = 0; part < 5; part++) {
    const images = [2 * part, 2 * part + 1].map((image) => [image, image] as const)
    await writeFile(join(place, `data_batch_${part + 1}`), batch('labels', images))
  }
  await writeFile(
    join(place, 'test_batch'),
    batch('labels', [
      [50, 3],
      [51, 9],
    ]),
  )
  await writeFile(join(place, 'batches.meta'), dictionary({ label_names: list(NAMES.map(shortText)) }))
}

async function writePython100(place = folder): Promise<void> {
  await mkdir(place, { recursive: true })
  const batch = (images: readonly (readonly [image: number, coarse: number, fine: number])[]) =>
    dictionary({
      coarse_labels: list(images.map(([, coarse]) => smallInt(coarse))),
      fine_labels: list(images.map(([, , fine]) => smallInt(fine))),
      data: pickledArray(images.map(([image]) => record(image, []))),
    })
  await writeFile(
    join(place, 'train'),
    batch([
      [0, 19, 99],
      [1, 0, 42],
      [2, 5, 0],
    ]),
  )
  await writeFile(join(place, 'test'), batch([[3, 7, 42]]))
  const names = Array.from({ length: 100 }, (_, at) => shortText(`class${at}`))
  await writeFile(join(place, 'meta'), dictionary({ fine_label_names: list(names), coarse_label_names: list([]) }))
}

const NAMES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
const open = (ref = folder) => openInMemory(ref, { cacheFolder })

describe('a folder of CIFAR-10 files', () => {
  it('opens with its parts in order, each pixel and label where it was written', async () => {
    await writeCifar10()
    await writeFile(join(folder, 'batches.meta.txt'), `${NAMES.join('\n')}\n\n`)
    const { shape, classes, classNames, train, test } = await open()
    expect({ shape, classes, classNames }).toEqual({ shape: [32, 32, 3], classes: 10, classNames: NAMES })
    expect([...train.labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect([...test.labels]).toEqual([3, 9])
    for (const [split, first] of [
      [train, 0],
      [test, 50],
    ] as const) {
      const expected = Array.from({ length: split.count * 3072 }, (_, at) => {
        const image = first + Math.floor(at / 3072)
        return pixel(image, Math.floor((at % 3072) / 96), Math.floor((at % 96) / 3), at % 3)
      })
      expect([...split.images]).toEqual(expected)
    }
  })

  it('opens from the folder above the one that the archive unpacks to, with the same fingerprint', async () => {
    await writeCifar10()
    const { fingerprint } = await open()
    const above = join(folder, 'above')
    await writeCifar10(join(above, 'cifar-10-batches-bin'))
    expect((await open(above)).fingerprint).toBe(fingerprint)
    expect((await open(`cifar:${above}`)).fingerprint).toBe(fingerprint)
  })

  it('has the fingerprint of the same images and labels in IDX files', async () => {
    await writeCifar10()
    const { fingerprint, train, test } = await open()
    const idx = join(folder, 'idx')
    await mkdir(idx)
    for (const [stem, { count, shape, images, labels }] of [
      ['train', train],
      ['t10k', test],
    ] as const) {
      await writeFile(join(idx, `${stem}-images-idx4-ubyte`), encodeIdxImages({ count, shape, images: Uint8Array.from(images) }))
      await writeFile(join(idx, `${stem}-labels-idx1-ubyte`), encodeIdxLabels(labels))
    }
    expect((await open(idx)).fingerprint).toBe(fingerprint)
  })
})

describe('a folder of CIFAR-100 files', () => {
  it('opens with the fine labels as classes', async () => {
    await writeCifar100()
    const names = Array.from({ length: 100 }, (_, i) => `name ${i}`)
    await writeFile(join(folder, 'fine_label_names.txt'), names.join('\r\n'))
    const { classes, classNames, train, test } = await open()
    expect({ classes, classNames }).toEqual({ classes: 100, classNames: names })
    expect([...train.labels]).toEqual([99, 42, 0])
    expect([...test.labels]).toEqual([42])
    expect([...train.images.subarray(3072, 3078)]).toEqual([0, 1, 2, 3, 4, 5].map((at) => pixel(1, 0, Math.floor(at / 3), at % 3)))
  })
})

describe('CIFAR files that cannot be trained on say which file and why', () => {
  const cases: Record<string, { spoil: () => Promise<unknown>; code: string; message: RegExp[] }> = {
    'one part missing': {
      spoil: async () => {
        await writeCifar10()
        await rm(join(folder, 'data_batch_4.bin'))
      },
      code: 'files-missing',
      message: [/CIFAR-10 files data_batch_1\.bin/, /all but data_batch_4\.bin/],
    },
    'a part cut short': {
      spoil: async () => {
        await writeCifar10()
        await writeFile(join(folder, 'data_batch_2.bin'), file(record(0, [1])).subarray(0, 3000))
      },
      code: 'wrong-size',
      message: [/data_batch_2\.bin/, /records of 3073 bytes, got 3000 bytes/],
    },
    'an empty part': {
      spoil: async () => {
        await writeCifar10()
        await writeFile(join(folder, 'test_batch.bin'), '')
      },
      code: 'wrong-size',
      message: [/test_batch\.bin/, /got 0 bytes/],
    },
    'a label of no class': {
      spoil: async () => {
        await writeCifar10()
        await writeFile(join(folder, 'test_batch.bin'), file(record(0, [1]), record(0, [10])))
      },
      code: 'label-out-of-range',
      message: [/0 to 9/, /got 10 for image 1 of .*test_batch\.bin/],
    },
    'a coarse label of no class': {
      spoil: async () => {
        await writeCifar100()
        await writeFile(join(folder, 'train.bin'), file(record(0, [20, 1])))
      },
      code: 'label-out-of-range',
      message: [/coarse labels from 0 to 19, got 20 for image 0 of .*train\.bin/],
    },
    'too few names': {
      spoil: async () => {
        await writeCifar10()
        await writeFile(join(folder, 'batches.meta.txt'), 'airplane\n')
      },
      code: 'bad-record',
      message: [/batches\.meta\.txt to name 10 classes, one a line, got 1/],
    },
    'both datasets in one folder': {
      spoil: async () => {
        await writeCifar10()
        await writeCifar100()
      },
      code: 'bad-reference',
      message: [/CIFAR-10 in .* and CIFAR-100 in/],
    },
  }
  for (const [name, { spoil, code, message }] of Object.entries(cases)) {
    it(`${name}: ${code}`, async () => {
      await spoil()
      const thrown = await open().catch((error: unknown) => error)
      expect(thrown).toMatchObject({ name: 'DatasetError', code })
      for (const part of message) expect((thrown as Error).message).toMatch(part)
    })
  }

  it('a folder that is asked for as CIFAR and is none: files-missing, with what was looked for', async () => {
    const thrown = await open(`cifar:${folder}`).catch((error: unknown) => error)
    expect(thrown).toMatchObject({ code: 'files-missing', message: expect.stringMatching(/data_batch_1\.bin.*CIFAR-100 files train\.bin/) })
    expect((thrown as Error).message).not.toMatch(/idx/)
  })
})

describe('a folder of the files for Python', () => {
  it('of CIFAR-10 is the data set of the binary files, with its names', async () => {
    await writeCifar10(join(folder, 'binary'))
    await writePython(join(folder, 'python'))
    const [binary, python] = [await open(join(folder, 'binary')), await open(join(folder, 'python'))]
    expect(python.classNames).toEqual(NAMES)
    expect(python.fingerprint).toBe(binary.fingerprint)
    expect([...python.test.images]).toEqual([...binary.test.images])
  })

  it('of CIFAR-100 is that of the binary files, in the folder of its archive too', async () => {
    await writeCifar100(join(folder, 'binary'))
    await writePython100(join(folder, 'above', 'cifar-100-python'))
    const [binary, python] = [await open(join(folder, 'binary')), await open(`cifar:${join(folder, 'above')}`)]
    expect(python.fingerprint).toBe(binary.fingerprint)
    expect(python.classNames?.[42]).toBe('class42')
  })

  it('is told from folders of images called train and test', async () => {
    await mkdir(join(folder, 'train'))
    await mkdir(join(folder, 'test'))
    await expect(open(`cifar:${folder}`)).rejects.toMatchObject({ code: 'files-missing' })
  })

  it('that lacks labels, or calls something, is refused', async () => {
    await writePython()
    await writeFile(join(folder, 'data_batch_3'), dictionary({ data: pickledArray([record(0, [])]), labels: list([]) }))
    await expect(open()).rejects.toMatchObject({
      code: 'bad-record',
      message: expect.stringContaining('data of n × 3072 bytes and as many labels'),
    })
    await writeFile(join(folder, 'data_batch_3'), Uint8Array.from([0x80, 2, ...ascii('cos\nsystem\n'), 0x2e]))
    await expect(open()).rejects.toMatchObject({ code: 'bad-record', message: expect.stringContaining('the name os.system') })
  })
})
