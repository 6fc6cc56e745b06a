// Arrays of NumPy in one .npz file, by the names that Keras (mnist.npz) and MedMNIST give them:
//
//   x_train, y_train, x_test, y_test     train_images, train_labels, test_images, test_labels
//
// Images are bytes, or values of 16 bits where these are wanted, n × height × width or n × height × width × channels; labels whole numbers, n or n × 1.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkLabels } from './check-labels.ts'
import { createLabels, type ImageShape, type RawDataset, type Split } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { type NpyArray, parseNpy } from './npy.ts'
import { DEFAULT_BITS, type PixelBits, type Pixels, pixelsFrom } from './pixels.ts'
import { readPackedFile } from './read-packed-file.ts'
import type { DatasetReader, DatasetSource, ReadOptions } from './reader.ts'
import { listZip, readZipEntry } from './zip-file.ts'

const EXTENSION = '.npz'
const namings = [
  { train: ['x_train', 'y_train'], test: ['x_test', 'y_test'] },
  { train: ['train_images', 'train_labels'], test: ['test_images', 'test_labels'] },
] as const
const LOOKED_FOR = `a file ${EXTENSION} with the arrays ${namings.map(({ train, test }) => [...train, ...test].join(', ')).join(' or ')}`

const readers: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  u1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u2: (view, at) => view.getUint16(2 * at, true),
  i2: (view, at) => view.getInt16(2 * at, true),
  u4: (view, at) => view.getUint32(4 * at, true),
  i4: (view, at) => view.getInt32(4 * at, true),
  u8: (view, at) => Number(view.getBigUint64(8 * at, true)),
  i8: (view, at) => Number(view.getBigInt64(8 * at, true)),
}

/** Whole numbers. Throws DatasetError. */
function labelsOf({ type, shape, bytes }: NpyArray, what: string, file: string): number[] {
  const read = readers[type]
  if (!read || shape.length > 2 || (shape.length === 2 && shape[1] !== 1)) {
    throw new DatasetError('bad-record', `expected ${what} to be whole numbers, n or n × 1, got ${type} of ${shape.join('×')}`, { file })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const labels = Array.from({ length: shape[0] ?? 0 }, (_, at) => read(view, at))
  const negative = labels.findIndex((label) => label < 0)
  if (negative < 0) return labels
  throw new DatasetError('label-out-of-range', `expected labels from 0 on, got ${labels[negative]} for image ${negative} of ${what}`, {
    file,
  })
}

/** Throws DatasetError. */
function imagesOf(
  { type, shape, bytes }: NpyArray,
  what: string,
  file: string,
  bits: PixelBits,
): { shape: ImageShape; images: Pixels; count: number } {
  const isDeep = type === 'u2'
  if (type !== 'u1' && !(isDeep && bits === 16)) {
    const advice = isDeep ? 'give --bits 16 to train on such' : 'save the images before they are scaled'
    const wanted = bits === 16 ? 'whole numbers of 8 or 16 bits (uint8, uint16)' : 'bytes from 0 to 255 (uint8)'
    throw new DatasetError('bad-record', `expected ${what} to be ${wanted}, got ${type}: ${advice}`, { file })
  }
  const [count = 0, height = 0, width = 0, channels = 1] = shape
  const isFirst = shape.length === 4 && height <= 4 && width > 4 && channels > 4
  if (shape.length < 3 || shape.length > 4 || shape.includes(0) || isFirst) {
    const advice = isFirst ? ': channels come last, as numpy.moveaxis(images, 1, -1) puts them' : ''
    throw new DatasetError(
      'shape-mismatch',
      `expected ${what} to be n × height × width or n × height × width × channels, got ${shape.join('×')}${advice}`,
      { file },
    )
  }
  return { count, shape: [height, width, channels], images: pixelsFrom(bytes, isDeep ? 16 : 8) }
}

async function readNpz(source: DatasetSource, { classes, bits = DEFAULT_BITS, onProgress }: ReadOptions): Promise<RawDataset> {
  const [file] = source.files as [string]
  const archive = await readPackedFile(file)
  const entries = new Map(listZip(archive, file).map((entry) => [entry.name.replace(/\.npy$/, ''), entry]))
  const naming = namings.find(({ train, test }) => [...train, ...test].every((name) => entries.has(name)))
  if (naming === undefined) {
    throw new DatasetError(
      'files-missing',
      `expected ${LOOKED_FOR} in ${file}, got ${[...entries.keys()].slice(0, 10).join(', ') || 'none'}`,
      { file },
    )
  }
  const array = (name: string) => {
    const entry = entries.get(name)
    if (!entry) throw new DatasetError('files-missing', `expected the array ${name} in ${file}`, { file })
    return parseNpy(readZipEntry(archive, entry, file), `${name} of ${file}`, file)
  }
  const split = ([imagesName, labelsName]: readonly [string, string]) => {
    const images = imagesOf(array(imagesName), `${imagesName} of ${file}`, file, bits)
    const labels = labelsOf(array(labelsName), `${labelsName} of ${file}`, file)
    if (labels.length !== images.count) {
      throw new DatasetError(
        'count-mismatch',
        `expected as many labels as images, got ${images.count} ${imagesName} and ${labels.length} ${labelsName} in ${file}`,
        { file },
      )
    }
    return { ...images, labels }
  }
  const [train, test] = [split(naming.train), split(naming.test)]
  onProgress?.({ kind: 'reading', file, doneFiles: 1, totalFiles: 1 })
  if (train.shape.join() !== test.shape.join()) {
    throw new DatasetError(
      'shape-mismatch',
      `expected train and test images of one shape, got ${train.shape.join('×')} and ${test.shape.join('×')} in ${file}`,
      { file },
    )
  }
  const known = classes ?? train.labels.reduce((largest, label) => Math.max(largest, label), 0) + 1
  const labelled = ({ count, shape, images, labels: numbers }: typeof train): Split => {
    const wide = Uint16Array.from(numbers, (label) => Math.min(label, 65_535))
    checkLabels(wide, file, known, classes === undefined ? 'the classes of its training labels' : 'the number of classes asked for')
    const labels = createLabels(count, known)
    labels.set(wide)
    return { count, shape, images, labels }
  }
  return { shape: train.shape, classes: known, train: labelled(train), test: labelled(test) }
}

const npzReader: DatasetReader = {
  lookedFor: LOOKED_FOR,
  async locate(ref) {
    if (ref.kind !== 'folder') return null
    const names = ref.file === undefined ? (await readdir(ref.folder)).filter((name) => name.endsWith(EXTENSION)) : [ref.file]
    const [name, second] = names
    if (name === undefined) return null
    if (second !== undefined) {
      throw new DatasetError(
        'bad-reference',
        `expected one file ${EXTENSION} in ${ref.folder}, got ${names.slice(0, 5).join(', ')}; name the one meant`,
        {
          file: ref.folder,
        },
      )
    }
    return { name: name.slice(0, -EXTENSION.length), files: [join(ref.folder, name)] }
  },
  read: readNpz,
}

export { npzReader }
