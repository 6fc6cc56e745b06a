// CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary form, https://www.cs.toronto.edu/~kriz/cifar.html, unpacked.
//
//   CIFAR-10    data_batch_1.bin … data_batch_5.bin, test_batch.bin    a record: label, 3072 bytes
//   CIFAR-100   train.bin, test.bin                                    a record: coarse label, fine label, 3072 bytes
//
// The 3072 bytes are 32 rows of 32 red values, then the green ones, then the blue ones. Of CIFAR-100 the fine labels are
// the classes; the coarse ones are only checked, which tells files of another layout from these.

import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { checkLabels } from './check-labels.ts'
import type { RawDataset, Split } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { readPackedFile } from './read-packed-file.ts'
import type { DatasetReader, DatasetSource, ReadOptions } from './reader.ts'

const SIDE = 32
const CHANNELS = 3
const SHAPE = [SIDE, SIDE, CHANNELS] as const
const PIXELS = SIDE * SIDE
const IMAGE_BYTES = PIXELS * CHANNELS
const COARSE_CLASSES = 20

type Variant = {
  readonly title: string
  readonly train: readonly string[]
  readonly test: string
  /** One class name a line, where the file is there. */
  readonly names: string
  readonly classes: number
  /** Bytes before the pixels; the last of them is the label. */
  readonly labelBytes: number
  /** Folder that the published archive unpacks to. */
  readonly folder: string
}

const variants: readonly Variant[] = [
  {
    title: 'CIFAR-10',
    train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`),
    test: 'test_batch.bin',
    names: 'batches.meta.txt',
    classes: 10,
    labelBytes: 1,
    folder: 'cifar-10-batches-bin',
  },
  {
    title: 'CIFAR-100',
    train: ['train.bin'],
    test: 'test.bin',
    names: 'fine_label_names.txt',
    classes: 100,
    labelBytes: 2,
    folder: 'cifar-100-binary',
  },
]

const LOOKED_FOR = variants.map(({ title, train, test }) => `the ${title} files ${[...train, test].join(', ')}`).join('; ')

function variantOf(file: string): Variant {
  return variants.find(({ test }) => basename(file) === test) as Variant
}

/** Images and labels of one file, its planes turned into NHWC. Throws a `DatasetError` that names the file. */
function parseCifar(bytes: Uint8Array, file: string, { title, labelBytes }: Variant): { images: Uint8Array; labels: Uint8Array } {
  const recordBytes = labelBytes + IMAGE_BYTES
  if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
    throw new DatasetError(
      'wrong-size',
      `expected ${file} to hold ${title} records of ${recordBytes} bytes, got ${bytes.length} bytes` +
        `${bytes.length === 0 ? '' : `, ${bytes.length % recordBytes} more than ${Math.floor(bytes.length / recordBytes)} records`}; download it again`,
      { file },
    )
  }
  const count = bytes.length / recordBytes
  const images = new Uint8Array(count * IMAGE_BYTES)
  const labels = new Uint8Array(count)
  for (let record = 0; record < count; record++) {
    const pixelsFrom = record * recordBytes + labelBytes
    labels[record] = bytes[pixelsFrom - 1] as number
    if (labelBytes > 1 && (bytes[pixelsFrom - 2] as number) >= COARSE_CLASSES) {
      throw new DatasetError(
        'label-out-of-range',
        `expected coarse labels from 0 to ${COARSE_CLASSES - 1}, got ${bytes[pixelsFrom - 2]} for image ${record} of ${file}; ` +
          `it is not a ${title} file`,
        { file },
      )
    }
    let to = record * IMAGE_BYTES
    for (let pixel = pixelsFrom; pixel < pixelsFrom + PIXELS; pixel++) {
      images[to++] = bytes[pixel] as number
      images[to++] = bytes[pixel + PIXELS] as number
      images[to++] = bytes[pixel + 2 * PIXELS] as number
    }
  }
  return { images, labels }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

async function readNames(file: string, { classes }: Variant): Promise<string[]> {
  const text = Buffer.from(await readPackedFile(file))
    .toString('utf8')
    .normalize('NFC')
  const names = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  if (names.length !== classes) {
    throw new DatasetError('bad-record', `expected ${file} to name ${classes} classes, one a line, got ${names.length}`, { file })
  }
  return names
}

/** `source.files`: train files, the test file, and the file of names where there is one. */
async function readCifar(source: DatasetSource, { classes, onProgress }: ReadOptions): Promise<RawDataset> {
  const testAt = source.files.findIndex((file) => variants.some(({ test }) => basename(file) === test))
  const variant = variantOf(source.files[testAt] as string)
  if (classes !== undefined && classes !== variant.classes) {
    throw new DatasetError('label-out-of-range', `expected ${variant.title} to be asked for its ${variant.classes} classes, got ${classes}`)
  }
  let doneFiles = 0
  const readPart = async (file: string) => {
    const part = parseCifar(await readPackedFile(file), file, variant)
    checkLabels(part.labels, file, variant.classes, `the classes of ${variant.title}`)
    doneFiles += 1
    onProgress?.({ kind: 'reading', file, doneFiles, totalFiles: testAt + 1 })
    return part
  }
  const readSplit = async (files: readonly string[]): Promise<Split> => {
    const parts = []
    for (const file of files) parts.push(await readPart(file))
    const labels = concatenate(parts.map((part) => part.labels))
    return { count: labels.length, shape: SHAPE, images: concatenate(parts.map((part) => part.images)), labels }
  }
  const train = await readSplit(source.files.slice(0, testAt))
  const test = await readSplit(source.files.slice(testAt, testAt + 1))
  const namesFile = source.files[testAt + 1]
  const classNames = namesFile === undefined ? undefined : await readNames(namesFile, variant)
  return { shape: SHAPE, classes: variant.classes, classNames, train, test }
}

type Found = { readonly variant: Variant; readonly folder: string; readonly names: ReadonlySet<string> }

const cifarReader: DatasetReader = {
  lookedFor: LOOKED_FOR,
  async locate(ref) {
    if (ref.kind !== 'folder') return null
    const names = new Set(await readdir(ref.folder))
    const found: Found[] = []
    for (const variant of variants) {
      const own = (folder: string, held: ReadonlySet<string>) => {
        if ([...variant.train, variant.test].some((name) => held.has(name))) found.push({ variant, folder, names: held })
      }
      own(ref.folder, names)
      if (names.has(variant.folder)) own(join(ref.folder, variant.folder), new Set(await readdir(join(ref.folder, variant.folder))))
    }
    const [first, second] = found
    if (first === undefined) return null
    if (second !== undefined) {
      throw new DatasetError(
        'bad-reference',
        `expected one dataset in ${ref.folder}, got ${first.variant.title} in ${first.folder} and ${second.variant.title} in ${second.folder}; name the one meant`,
        { file: ref.folder },
      )
    }
    const { variant, folder } = first
    const wanted = [...variant.train, variant.test]
    const missing = wanted.filter((name) => !first.names.has(name))
    if (missing.length > 0) {
      throw new DatasetError(
        'files-missing',
        `expected the ${variant.title} files ${wanted.join(', ')} in ${folder}, got all but ${missing.join(', ')}; unpack the archive again`,
        { file: join(folder, missing[0] as string) },
      )
    }
    const files = [...wanted, ...(first.names.has(variant.names) ? [variant.names] : [])].map((name) => join(folder, name))
    return { name: basename(ref.folder), files }
  },
  read: readCifar,
}

export { cifarReader }
