// CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary form and in that for Python, https://www.cs.toronto.edu/~kriz/cifar.html,
// unpacked.
//
//   CIFAR-10    data_batch_1.bin … data_batch_5.bin, test_batch.bin    a record: label, 3072 bytes
//   CIFAR-100   train.bin, test.bin                                    a record: coarse label, fine label, 3072 bytes
//   for Python  data_batch_1 … data_batch_5, test_batch; train, test   a pickled dictionary: data of n × 3072 bytes, labels or fine_labels
//
// The 3072 bytes are 32 rows of 32 red values, then the green ones, then the blue ones. Of CIFAR-100 the fine labels are
// the classes; the coarse ones are only checked, which tells files of another layout from these.

import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { checkLabels } from './check-labels.ts'
import type { RawDataset, Split } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { type Pickled, readPickle } from './pickle.ts'
import { readPackedFile } from './read-packed-file.ts'
import type { DatasetReader, DatasetSource, ReadOptions } from './reader.ts'

const SIDE = 32
const CHANNELS = 3
const SHAPE = [SIDE, SIDE, CHANNELS] as const
const PIXELS = SIDE * SIDE
const IMAGE_BYTES = PIXELS * CHANNELS
const COARSE_CLASSES = 20

/** Images and labels of one file. */
type CifarFile = { readonly images: Uint8Array; readonly labels: Uint8Array }

type Variant = {
  readonly title: string
  readonly train: readonly string[]
  readonly test: string
  /** Names of classes, where the file is there. */
  readonly names: string
  readonly classes: number
  /** Throws a `DatasetError` that names the file. */
  readonly parse: (bytes: Uint8Array, file: string, title: string) => CifarFile
  readonly parseNames: (bytes: Uint8Array, file: string) => string[]
  /** Folder that the published archive unpacks to. */
  readonly folder: string
  /** Names that other data sets have too do not tell: the file of names has to be there as well. */
  readonly needsNames?: boolean
}

const variants: readonly Variant[] = [
  {
    title: 'CIFAR-10',
    train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`),
    test: 'test_batch.bin',
    names: 'batches.meta.txt',
    classes: 10,
    parse: parseRecords(1),
    parseNames: namesByLine,
    folder: 'cifar-10-batches-bin',
  },
  {
    title: 'CIFAR-10 for Python',
    train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}`),
    test: 'test_batch',
    names: 'batches.meta',
    classes: 10,
    parse: parsePython('labels'),
    parseNames: pickledNames('label_names'),
    folder: 'cifar-10-batches-py',
  },
  {
    title: 'CIFAR-100',
    train: ['train.bin'],
    test: 'test.bin',
    names: 'fine_label_names.txt',
    classes: 100,
    parse: parseRecords(2),
    parseNames: namesByLine,
    folder: 'cifar-100-binary',
  },
  {
    title: 'CIFAR-100 for Python',
    train: ['train'],
    test: 'test',
    names: 'meta',
    classes: 100,
    parse: parsePython('fine_labels'),
    parseNames: pickledNames('fine_label_names'),
    folder: 'cifar-100-python',
    needsNames: true,
  },
]

const LOOKED_FOR = variants.map(({ title, train, test }) => `the ${title} files ${[...train, test].join(', ')}`).join('; ')

function variantOf(file: string): Variant {
  return variants.find(({ test }) => basename(file) === test) as Variant
}

/** One image of three planes as NHWC. */
function copyPlanes(bytes: Uint8Array, from: number, images: Uint8Array, image: number): void {
  let to = image * IMAGE_BYTES
  for (let pixel = from; pixel < from + PIXELS; pixel++) {
    images[to++] = bytes[pixel] as number
    images[to++] = bytes[pixel + PIXELS] as number
    images[to++] = bytes[pixel + 2 * PIXELS] as number
  }
}

/** @param labelBytes before the pixels; the last of them is the label */
function parseRecords(labelBytes: number): Variant['parse'] {
  return (bytes, file, title) => {
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
      copyPlanes(bytes, pixelsFrom, images, record)
    }
    return { images, labels }
  }
}

/** The dictionary of a file for Python. Throws `bad-record`. */
function readDictionary(bytes: Uint8Array, file: string): Map<string, Pickled> {
  const dictionary = readPickle(bytes, file)
  if (dictionary instanceof Map) return dictionary
  throw new DatasetError('bad-record', `expected ${file} to hold a dictionary`, { file })
}

/** @param labelsKey of the labels in the dictionary */
function parsePython(labelsKey: string): Variant['parse'] {
  return (bytes, file, title) => {
    const dictionary = readDictionary(bytes, file)
    const data = dictionary.get('data')
    const labels = dictionary.get(labelsKey)
    const isData = typeof data === 'object' && data !== null && 'kind' in data && data.kind === 'array'
    const isWhole = isData && data.shape.length === 2 && data.shape[1] === IMAGE_BYTES
    if (!isWhole || !Array.isArray(labels) || labels.length !== data.shape[0] || labels.length === 0) {
      throw new DatasetError(
        'bad-record',
        `expected ${file} to hold the bytes of ${title}: data of n × ${IMAGE_BYTES} bytes and as many ${labelsKey}; download it again`,
        { file },
      )
    }
    const isByte = (label: unknown) => Number.isInteger(label) && (label as number) >= 0 && (label as number) < 256
    const strange = labels.find((label) => !isByte(label))
    if (strange !== undefined)
      throw new DatasetError('bad-record', `expected ${labelsKey} of ${file} to be whole numbers, got ${String(strange)}`, { file })
    const images = new Uint8Array(labels.length * IMAGE_BYTES)
    for (let image = 0; image < labels.length; image++) copyPlanes(data.values, image * IMAGE_BYTES, images, image)
    return { images, labels: Uint8Array.from(labels as number[]) }
  }
}

function namesByLine(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes).toString('utf8').normalize('NFC')
  return text.split(/\r?\n/).filter((line) => line.trim() !== '')
}

function pickledNames(key: string): Variant['parseNames'] {
  return (bytes, file) => {
    const names = readDictionary(bytes, file).get(key)
    if (!Array.isArray(names)) throw new DatasetError('bad-record', `expected ${file} to hold ${key}`, { file })
    return names.map((name) => (name instanceof Uint8Array ? Buffer.from(name).toString('utf8') : String(name)).normalize('NFC'))
  }
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

async function readNames(file: string, { classes, parseNames }: Variant): Promise<string[]> {
  const names = parseNames(await readPackedFile(file), file)
  if (names.length !== classes) {
    const form = parseNames === namesByLine ? ', one a line' : ''
    throw new DatasetError('bad-record', `expected ${file} to name ${classes} classes${form}, got ${names.length}`, { file })
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
    const part = variant.parse(await readPackedFile(file), file, variant.title)
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

/** Links count as files: they are followed when they are read. */
const isNoFolder = (entry: Dirent) => !entry.isDirectory()

async function namesIn(folder: string, isWanted: (entry: Dirent) => boolean): Promise<ReadonlySet<string>> {
  return new Set((await readdir(folder, { withFileTypes: true })).filter(isWanted).map(({ name }) => name))
}

type Found = { readonly variant: Variant; readonly folder: string; readonly names: ReadonlySet<string> }

const cifarReader: DatasetReader = {
  lookedFor: LOOKED_FOR,
  async locate(ref) {
    if (ref.kind !== 'folder') return null
    const folders = new Set(await namesIn(ref.folder, (entry) => entry.isDirectory()))
    const names = await namesIn(ref.folder, isNoFolder)
    const found: Found[] = []
    for (const variant of variants) {
      const own = (folder: string, held: ReadonlySet<string>) => {
        const isHere = variant.needsNames !== true || held.has(variant.names)
        if (isHere && [...variant.train, variant.test].some((name) => held.has(name))) found.push({ variant, folder, names: held })
      }
      own(ref.folder, names)
      const published = join(ref.folder, variant.folder)
      if (folders.has(variant.folder)) own(published, await namesIn(published, isNoFolder))
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
