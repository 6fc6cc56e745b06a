// A folder of images as a dataset. Small images, and few enough of them, are decoded once into memory, like those of the
// other formats; everything else stays in its files.

import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'

import { readCacheFile, writeCacheFile } from './cache-file.ts'
import { coverBox, EVALUATION_SHARE } from './crop-box.ts'
import {
  createLabels,
  type Dataset,
  type FileSplit,
  type ImageShape,
  type MemoryDataset,
  type Normalisation,
  type Split,
} from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { openFileImages } from './file-images.ts'
import { channelMismatch, isColourInput } from './image-channels.ts'
import { forEachAtOnce, type ImageRecord, indexImages } from './image-index.ts'
import { type ImageLayout, type ListedImage, listImageFolder, nameOf } from './image-layout.ts'
import { MAX_MEMORY_IMAGE_SCALE, MAX_MEMORY_IMAGES_BYTES, NORMALISATION_IMAGES } from './limits.ts'
import { normalisationOf } from './normalisation.ts'
import { keptNormalisation } from './normalisation-file.ts'
import { createPixels, DEFAULT_BITS, type PixelBits } from './pixels.ts'
import type { OnDatasetProgress } from './reader.ts'
import { listTarShards } from './tar-shards.ts'

/** Digits of mean and deviation: those that decoders of different builds agree on. */
const NORMALISATION_DIGITS = 4
const FINGERPRINT_DIGITS = 16

type ImageFolderOptions = {
  /** Absolute. */
  readonly folder: string
  /** How images lie in it: in a folder for each class, or in tar archives. */
  readonly layout: 'images' | 'tar'
  /** Height and width that images are scaled to, and channels: with 1 and 3 they become grey and sRGB, otherwise they have to have them. */
  readonly input: ImageShape
  /** Of the values that images are decoded to. */
  readonly bits: PixelBits
  readonly cacheFolder: string
  /** Classes asked for; must be the number of class folders. */
  readonly classes?: number
  readonly onProgress?: OnDatasetProgress
}

function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Of what is known of files: whether their values fit into 8 bits is. */
function suffixOf(bits: PixelBits): string {
  return bits === DEFAULT_BITS ? '' : `-${bits}`
}

/** A folder's name as part of file names. */
function stemOf(folder: string): string {
  return basename(folder).replaceAll(/[^A-Za-z0-9_-]+/g, '-')
}

/** sha256 over bits, unless they are 8, names of classes, then path, size and sha256 of every file of both splits. */
function folderFingerprint(
  classNames: readonly string[],
  { train, test, validation }: Omit<IndexedFolder, 'layout'>,
  bits: PixelBits,
): string {
  const hash = createHash('sha256').update(`gatehouse image folder 1\nclasses ${JSON.stringify(classNames)}\n`)
  if (bits !== DEFAULT_BITS) hash.update(`bits ${bits}\n`)
  for (const [name, records] of Object.entries({ train, test, ...(validation.length > 0 && { validation }) })) {
    hash.update(`${name} ${records.length}\n`)
    for (const { path, bytes, sha256 } of records) hash.update(`${JSON.stringify(nameOf(path))} ${bytes} ${sha256}\n`)
  }
  return hash.digest('hex')
}

function fileSplit(images: readonly ListedImage[], records: readonly ImageRecord[], classes: number): FileSplit {
  const count = images.length
  const labels = createLabels(count, classes)
  const pathEnds = new Uint32Array(count)
  const sizes = new Uint32Array(2 * count)
  let end = 0
  for (const [index, { label, path }] of images.entries()) {
    labels[index] = label
    end += Buffer.byteLength(path)
    pathEnds[index] = end
    sizes.set([records[index]?.width ?? 0, records[index]?.height ?? 0], 2 * index)
  }
  const paths = new Uint8Array(Buffer.from(images.map(({ path }) => path).join('')))
  return { count, labels, paths, pathEnds, sizes }
}

/** Throws `shape-mismatch` for the first image that has other channels than the input takes. */
function checkChannels(folder: string, records: readonly ImageRecord[], [, , wanted]: ImageShape): void {
  for (const { path, channels, broken } of records) {
    const mismatch = broken === undefined ? channelMismatch(channels, wanted) : null
    if (mismatch === null) continue
    const file = join(folder, path)
    const advice = isColourInput(channels) ? ': take a space of as many, or leave such images out' : ': take a space of as many'
    throw new DatasetError('shape-mismatch', `expected other channels of ${file}: ${mismatch}${advice}`, { file })
  }
}

/** Every file broken in one class: nothing could take their place. `records` are those of the split. */
function checkClasses(folder: string, split: FileSplit, records: readonly ImageRecord[], classNames: readonly string[]): void {
  const sound = new Uint8Array(classNames.length)
  for (let index = 0; index < split.count; index++) if (split.sizes[2 * index] !== 0) sound[split.labels[index] as number] = 1
  const present = new Set(split.labels)
  const broken = classNames.find((_, label) => present.has(label) && sound[label] === 0)
  if (broken === undefined) return
  const first = records.find((_, index) => split.labels[index] === classNames.indexOf(broken))
  throw new DatasetError(
    'broken-images',
    `expected images in the class ${broken} of ${folder}, got only files that are none, such as ${first?.path}: ${first?.broken}`,
    { file: folder },
  )
}

type Opened = {
  readonly folder: string
  readonly shape: ImageShape
  readonly bits: PixelBits
  readonly classes: number
  readonly classNames: readonly string[]
  readonly train: FileSplit
  readonly test: FileSplit
  readonly validation?: FileSplit
}

function fitsMemory({ shape, bits, train, test, validation }: Opened): boolean {
  const [height, width, channels] = shape
  const splits = [train, test, ...(validation ? [validation] : [])]
  const images = splits.reduce((sum, { count }) => sum + count, 0)
  if ((images * height * width * channels * bits) / 8 > MAX_MEMORY_IMAGES_BYTES) return false
  return splits.every(({ sizes }) => sizes.every((side, at) => side <= MAX_MEMORY_IMAGE_SCALE * (at % 2 === 0 ? width : height)))
}

/** Decodes the images of a split at `indices`, each scaled to cover `shape`, of which `share` is kept. */
async function decodeSplit(
  opened: Opened,
  split: FileSplit,
  { indices, share, onBroken }: { indices: Uint32Array; share: number; onBroken: (path: string, reason: string) => void },
): Promise<Split> {
  const { shape, bits } = opened
  const input = { height: shape[0], width: shape[1] }
  const images = openFileImages(opened, split, onBroken)
  const imageValues = shape[0] * shape[1] * shape[2]
  const pixels = createPixels(indices.length * imageValues, bits)
  const labels = createLabels(indices.length, opened.classes)
  await forEachAtOnce(indices.length, async (slot) => {
    const index = indices[slot] as number
    pixels.set(await images.decode(index, (image) => coverBox(image, input, share)), slot * imageValues)
    labels[slot] = split.labels[index] as number
  })
  return { count: indices.length, shape, images: pixels, labels }
}

/** Mean and deviation of train images evenly spread over the split, as evaluation sees them. */
async function sampleNormalisation(opened: Opened): Promise<Normalisation> {
  const { count } = opened.train
  const taken = Math.min(count, NORMALISATION_IMAGES)
  const indices = Uint32Array.from({ length: taken }, (_, at) => Math.floor((at * count) / taken))
  const sample = await decodeSplit(opened, opened.train, { indices, share: EVALUATION_SHARE, onBroken: () => undefined })
  const { mean, std } = normalisationOf(sample)
  const rounded = (values: number[]) => values.map((value) => Number(value.toFixed(NORMALISATION_DIGITS)))
  return { mean: rounded(mean), std: rounded(std).map((value) => value || 1) }
}

type IndexedFolder = {
  readonly layout: ImageLayout
  /** Of `layout.train`, in its order. */
  readonly train: readonly ImageRecord[]
  /** Of `layout.test`. */
  readonly test: readonly ImageRecord[]
  /** Of `layout.validation`. */
  readonly validation: readonly ImageRecord[]
}

/** Every image of a folder and what is known of its file; all but new and changed files come from the index. */
async function indexImageFolder({
  folder,
  layout: kind,
  bits,
  cacheFolder,
  onProgress,
}: Pick<ImageFolderOptions, 'folder' | 'layout' | 'bits' | 'cacheFolder' | 'onProgress'>): Promise<IndexedFolder> {
  const layout = kind === 'tar' ? await listTarShards(folder) : await listImageFolder(folder)
  const records = await indexImages({
    folder,
    paths: [...layout.train, ...layout.test, ...layout.validation].map(({ path }) => path),
    bits,
    cacheFile: join(cacheFolder, `${stemOf(folder)}-${hashText(folder).slice(0, FINGERPRINT_DIGITS)}${suffixOf(bits)}.index`),
    onProgress,
  })
  const [testFrom, validationFrom] = [layout.train.length, layout.train.length + layout.test.length]
  return {
    layout,
    train: records.slice(0, testFrom),
    test: records.slice(testFrom, validationFrom),
    validation: records.slice(validationFrom),
  }
}

/** Of what was taken of the images at the size of the input. */
function cacheFileOf({ folder, shape }: Opened, fingerprint: string, cacheFolder: string, ending: 'bin' | 'json'): string {
  return join(cacheFolder, `${stemOf(folder)}-${fingerprint.slice(0, FINGERPRINT_DIGITS)}-${shape.join('x')}.${ending}`)
}

/** Decodes both splits whole, or takes them from the cache. */
async function openInMemory(
  opened: Opened,
  { fingerprint, bytes }: { fingerprint: string; bytes: number },
  { cacheFolder, onProgress }: Pick<ImageFolderOptions, 'cacheFolder' | 'onProgress'>,
): Promise<MemoryDataset> {
  const { folder, shape, classes, classNames } = opened
  const cacheFile = cacheFileOf(opened, fingerprint, cacheFolder, 'bin')
  const stamps = [{ path: fingerprint, bytes, modifiedMs: 0 }]
  const cached = await readCacheFile(cacheFile, stamps)
  const pathsOf = ({ paths, pathEnds }: FileSplit) => ({ paths, pathEnds })
  const files = {
    train: pathsOf(opened.train),
    test: pathsOf(opened.test),
    ...(opened.validation && { validation: pathsOf(opened.validation) }),
  }
  if (cached.kind === 'hit') return { ...cached.dataset, name: basename(folder), files }
  if (cached.kind === 'unusable') onProgress?.({ kind: 'rebuilding-cache', cacheFile, reason: cached.reason })
  const broken = new Map<string, string>()
  const decodeAll = (split: FileSplit) =>
    decodeSplit(opened, split, {
      indices: Uint32Array.from({ length: split.count }, (_, index) => index),
      share: 1,
      onBroken: (path, reason) => void broken.set(path, reason),
    })
  const train = await decodeAll(opened.train)
  const test = await decodeAll(opened.test)
  const validation = opened.validation && (await decodeAll(opened.validation))
  const brokenFiles = [...broken.keys()].sort()
  const normalisation = normalisationOf(train)
  const facts = { storage: 'memory', name: basename(folder), fingerprint, normalisation, brokenFiles } as const
  const dataset: MemoryDataset = { ...facts, shape, classes, classNames, train, test, ...(validation && { validation }) }
  await writeCacheFile(cacheFile, dataset, stamps).catch((cause: unknown) =>
    onProgress?.({ kind: 'cache-not-written', cacheFile, reason: reasonOf(cause) }),
  )
  return { ...dataset, files }
}

/** Throws a `DatasetError` that names the file or folder at fault. Images that cannot be decoded are replaced, not errors. */
async function openImageFolder(options: ImageFolderOptions): Promise<Dataset> {
  const { folder, input, bits, classes, onProgress } = options
  const indexed = await indexImageFolder(options)
  const { layout, train, test, validation } = indexed
  const all = [...train, ...test, ...validation]
  const { classNames } = layout
  if (classes !== undefined && classes !== classNames.length) {
    throw new DatasetError('label-out-of-range', `expected ${classes} classes, got ${classNames.length} classes in ${folder}`, {
      file: folder,
    })
  }
  const opened: Opened = {
    folder,
    shape: input,
    bits,
    classes: classNames.length,
    classNames,
    train: fileSplit(layout.train, train, classNames.length),
    test: fileSplit(layout.test, test, classNames.length),
    ...(validation.length > 0 && { validation: fileSplit(layout.validation, validation, classNames.length) }),
  }
  for (const { path, broken: reason } of all) {
    if (reason !== undefined) onProgress?.({ kind: 'broken-image', file: join(folder, path), reason })
  }
  for (const message of layout.warnings) onProgress?.({ kind: 'warning', message })
  checkChannels(folder, all, input)
  checkClasses(folder, opened.train, train, classNames)
  checkClasses(folder, opened.test, test, classNames)
  if (opened.validation) checkClasses(folder, opened.validation, validation, classNames)
  const fingerprint = folderFingerprint(classNames, indexed, bits)
  if (fitsMemory(opened)) {
    const bytes = all.reduce((sum, record) => sum + record.bytes, 0)
    return openInMemory(opened, { fingerprint, bytes }, options)
  }
  const normalisation = await keptNormalisation(
    cacheFileOf(opened, fingerprint, options.cacheFolder, 'json'),
    { fingerprint, shape: input, bits },
    () => sampleNormalisation(opened),
    onProgress,
  )
  return { storage: 'files', name: basename(folder), fingerprint, ...opened, normalisation }
}

export { type ImageFolderOptions, type IndexedFolder, indexImageFolder, openImageFolder }
