// What `gatehouse data check` tells of a dataset: everything that decides whether and how it can be trained on. Of a folder of
// images every file is decoded.

import { createHash } from 'node:crypto'

import type { BatchRequest } from './batch-source.ts'
import {
  bitsOf,
  type Dataset,
  type FileDataset,
  type FileSplit,
  type ImageShape,
  type Labels,
  nameOfImage,
  type Normalisation,
  pathOf,
  type SplitName,
} from './dataset.ts'
import { reasonOf } from './errors.ts'
import { placeOf } from './image-place.ts'
import { openBatchSource } from './open-batch-source.ts'
import { type DatasetKind, DEFAULT_CACHE_FOLDER, type OpenOptions, openDataset, recogniseDataset } from './open-dataset.ts'
import type { IndexedFolder } from './open-image-folder.ts'
import type { OnDatasetProgress } from './reader.ts'
import type { PixelBits, Pixels } from './pixels.ts'
import { parseDatasetRef } from './reference.ts'

/** Examples of broken, duplicate and ignored files that a report names. */
const MAX_EXAMPLES = 20
/** Side in pixels of what is looked at of an image, to see whether it has more than one colour. */
const OVERVIEW_SIDE = 16
const SPEED_BATCH = 32
/** The reader's speed is taken over this long, or over one pass of the training images if that is shorter. */
const SPEED_MS = 2000

type Pair = readonly [width: number, height: number]

type DatasetReport = {
  readonly name: string
  readonly kind: DatasetKind
  readonly storage: Dataset['storage']
  /** Height, width and channels in a batch. */
  readonly shape: ImageShape
  /** Of a value of an image. */
  readonly bits: PixelBits
  readonly images: { readonly train: number; readonly test: number; readonly validation?: number }
  /** Name of the folder that the test split is from; null where it was drawn, absent for other kinds. */
  readonly testFolder?: string | null
  /** Name of the folder that the validation split is from, where there is one. */
  readonly validationFolder?: string
  readonly classes: readonly { readonly name: string; readonly train: number; readonly test: number; readonly validation?: number }[]
  /** Width × height in the files, smallest and largest by area. */
  readonly sizes: { readonly smallest: Pair; readonly largest: Pair }
  readonly fingerprint: string
  readonly normalisation: Normalisation
  /** What is probably not meant so, each with what to do about it. */
  readonly warnings: readonly string[]
  /** Images of one colour throughout. */
  readonly flat: { readonly count: number; readonly examples: readonly string[] }
  readonly broken: { readonly count: number; readonly examples: readonly { readonly file: string; readonly reason: string }[] }
  /** Images beyond the first of each set of equal ones; equal files, or equal pixels where images are in memory. */
  readonly duplicates: {
    readonly count: number
    readonly sets: number
    /** Sets of equal images that are in the train and the test split. */
    readonly acrossSplits: number
    /** Sets of equal images that are in several classes. */
    readonly acrossClasses: number
    readonly examples: readonly (readonly string[])[]
  }
  readonly ignored: { readonly count: number; readonly examples: readonly string[] }
  readonly readerImagesPerSecond: number
}

type Occurrence = { readonly name: string; readonly split: SplitName; readonly label: number }

function findDuplicates(images: Iterable<readonly [content: string, place: Occurrence]>): DatasetReport['duplicates'] {
  const places = new Map<string, Occurrence[]>()
  for (const [content, place] of images) {
    const known = places.get(content)
    if (known) known.push(place)
    else places.set(content, [place])
  }
  const sets = [...places.values()].filter((set) => set.length > 1)
  const differing = (pick: (place: Occurrence) => unknown) => sets.filter((set) => new Set(set.map(pick)).size > 1).length
  return {
    count: sets.reduce((sum, set) => sum + set.length - 1, 0),
    sets: sets.length,
    acrossSplits: differing(({ split }) => split),
    acrossClasses: differing(({ label }) => label),
    examples: sets.slice(0, MAX_EXAMPLES).map((set) => set.map(({ name }) => name)),
  }
}

function* recordContents({ layout, train, test, validation }: IndexedFolder): Generator<readonly [string, Occurrence]> {
  for (const [split, images, records] of [
    ['train', layout.train, train],
    ['test', layout.test, test],
    ['validation', layout.validation, validation],
  ] as const) {
    for (const [index, { path, label }] of images.entries()) yield [records[index]?.sha256 ?? path, { name: path, split, label }]
  }
}

type MemoryImage = Occurrence & { readonly pixels: Pixels }

function* memoryImages(dataset: Dataset): Generator<MemoryImage> {
  if (dataset.storage === 'files') return
  for (const split of ['train', 'test', 'validation'] as const) {
    if (dataset[split] === undefined) continue
    const { images, labels, count } = dataset[split]
    const imageBytes = images.length / count
    for (let at = 0; at < count; at++) {
      yield {
        name: nameOfImage(dataset, split, at),
        split,
        label: labels[at] as number,
        pixels: images.subarray(at * imageBytes, (at + 1) * imageBytes),
      }
    }
  }
}

function* pixelContents(dataset: Dataset): Generator<readonly [string, Occurrence]> {
  for (const image of memoryImages(dataset)) yield [createHash('sha256').update(image.pixels).digest('base64'), image]
}

function sizesOf(index: IndexedFolder | null, [height, width]: ImageShape): DatasetReport['sizes'] {
  const sound = index === null ? [] : [...index.train, ...index.test, ...index.validation].filter((record) => record.width > 0)
  let smallest: Pair | undefined
  let largest: Pair | undefined
  for (const record of sound) {
    const area = record.width * record.height
    if (smallest === undefined || area < smallest[0] * smallest[1]) smallest = [record.width, record.height]
    if (largest === undefined || area > largest[0] * largest[1]) largest = [record.width, record.height]
  }
  return { smallest: smallest ?? [width, height], largest: largest ?? [width, height] }
}

function countByClass(labels: Labels, classes: number): number[] {
  const counts = Array.from({ length: classes }, () => 0)
  for (const label of labels) counts[label] = (counts[label] as number) + 1
  return counts
}

/** Whether every channel has one value throughout. */
function isOneColour(pixels: Pixels, channels: number): boolean {
  for (let at = channels; at < pixels.length; at++) if (pixels[at] !== pixels[at - channels]) return false
  return true
}

type FileFaults = { readonly broken: Map<string, string>; readonly flat: Set<string> }

/** Decodes every file whole, at an eighth of its size where the format can: damage shows all the same. */
async function findFaults(dataset: FileDataset, onDone: (done: number, total: number) => void): Promise<FileFaults> {
  const { decodeBox, isFlat, refuseUnreadable } = await import('./image-decoder.ts')
  const { forEachAtOnce } = await import('./image-index.ts')
  const broken = new Map<string, string>()
  const flat = new Set<string>()
  const channels = dataset.shape[2]
  const splits = [dataset.train, dataset.test, ...(dataset.validation ? [dataset.validation] : [])]
  const total = splits.reduce((sum, { count }) => sum + count, 0)
  let done = 0
  const check = async (split: FileSplit, index: number) => {
    const path = pathOf(split, index)
    const size = { width: split.sizes[2 * index] as number, height: split.sizes[2 * index + 1] as number }
    if (size.width > 0) {
      try {
        const place = placeOf(dataset.folder, path)
        const small = await decodeBox(place, size, { left: 0, top: 0, ...size }, [OVERVIEW_SIDE, OVERVIEW_SIDE, channels], dataset.bits)
        // Small things in one colour can be lost in an overview, so that the whole is asked as well.
        if (isOneColour(small, channels) && (await isFlat(place))) flat.add(path)
      } catch (error) {
        await refuseUnreadable(placeOf(dataset.folder, path))
        broken.set(path, reasonOf(error))
      }
    }
    done += 1
    onDone(done, total)
  }
  for (const split of splits) await forEachAtOnce(split.count, (index) => check(split, index))
  return { broken, flat }
}

/** Of files that could not be decoded when they were put into memory. */
async function addReasons(broken: Map<string, string>, folder: string, paths: readonly string[]): Promise<void> {
  const { brokenPixelsOf } = await import('./broken-reason.ts')
  for (const path of paths) if (!broken.has(path)) broken.set(path, (await brokenPixelsOf(placeOf(folder, path))).message)
}

function namedReasons(broken: ReadonlyMap<string, string>): { file: string; reason: string }[] {
  const files = [...broken.keys()].sort().slice(0, MAX_EXAMPLES)
  return files.map((file) => ({ file, reason: broken.get(file) as string }))
}

/** Training batches as a trainer would ask for them. */
async function measureReader(dataset: Dataset): Promise<number> {
  const source = await openBatchSource(dataset)
  const { count } = dataset.train
  const batch = Math.min(SPEED_BATCH, count)
  const requests = function* (): Generator<BatchRequest> {
    for (let step = 0; (step + 1) * batch <= count; step++) {
      // Spread over the classes, as shuffled batches are.
      const indices = Uint32Array.from({ length: batch }, (_, slot) => (step + slot * Math.floor(count / batch)) % count)
      yield { split: 'train', indices, augmentation: { settings: { flip: true, shift: 0 }, seed: ['speed', step] } }
    }
  }
  const startMs = performance.now()
  let images = 0
  for await (const { labels } of source.batches(requests())) {
    images += labels.length
    if (performance.now() - startMs > SPEED_MS) break
  }
  return (images / (performance.now() - startMs)) * 1000
}

type InspectOptions = OpenOptions & {
  /** Called as files are decoded. */
  readonly onDecoded?: (done: number, total: number) => void
}

/** Throws a `DatasetError` for data that cannot be trained on. */
async function inspectDataset(ref: string, options: InspectOptions = {}): Promise<DatasetReport> {
  const { baseFolder, cacheFolder = DEFAULT_CACHE_FOLDER, onDecoded } = options
  const kind = await recogniseDataset(ref, options)
  const broken = new Map<string, string>()
  const flat = new Set<string>()
  const warnings: string[] = []
  const onProgress: OnDatasetProgress = (progress) => {
    if (progress.kind === 'warning') warnings.push(progress.message)
    else options.onProgress?.(progress)
  }
  const dataset = await openDataset(ref, { ...options, onProgress })
  const parsed = parseDatasetRef(ref, baseFolder)
  let index: IndexedFolder | null = null
  if ((kind === 'images' || kind === 'tar') && parsed.kind === 'folder') {
    const { indexImageFolder } = await import('./open-image-folder.ts')
    index = await indexImageFolder({ folder: parsed.folder, layout: kind, bits: bitsOf(dataset), cacheFolder })
    for (const record of [...index.train, ...index.test, ...index.validation])
      if (record.broken !== undefined) broken.set(record.path, record.broken)
  }
  if (dataset.storage === 'files') {
    const faults = await findFaults(dataset, onDecoded ?? (() => undefined))
    for (const [path, reason] of faults.broken) broken.set(path, reason)
    for (const path of faults.flat) flat.add(path)
  } else {
    if (parsed.kind === 'folder') await addReasons(broken, parsed.folder, dataset.brokenFiles ?? [])
    for (const { name: image, pixels } of memoryImages(dataset)) {
      if (!broken.has(image) && isOneColour(pixels, dataset.shape[2])) flat.add(image)
    }
  }
  const { name, storage, shape, classes, classNames, train, test, validation, fingerprint, normalisation } = dataset
  const trainCounts = countByClass(train.labels, classes)
  const testCounts = countByClass(test.labels, classes)
  const validationCounts = validation && countByClass(validation.labels, classes)
  const ignored = index?.layout.ignored ?? []
  return {
    name,
    kind,
    storage,
    shape,
    bits: bitsOf(dataset),
    images: { train: train.count, test: test.count, ...(validation && { validation: validation.count }) },
    ...(index?.layout.validationFolder && { validationFolder: index.layout.validationFolder }),
    ...(index === null ? {} : { testFolder: index.layout.testFolder }),
    classes: trainCounts.map((count, label) => ({
      name: classNames?.[label] ?? String(label),
      train: count,
      test: testCounts[label] ?? 0,
      ...(validationCounts && { validation: validationCounts[label] ?? 0 }),
    })),
    sizes: sizesOf(index, shape),
    fingerprint,
    normalisation,
    warnings,
    flat: { count: flat.size, examples: [...flat].sort().slice(0, MAX_EXAMPLES) },
    broken: { count: broken.size, examples: namedReasons(broken) },
    duplicates: findDuplicates(index === null ? pixelContents(dataset) : recordContents(index)),
    ignored: { count: ignored.length, examples: ignored.slice(0, MAX_EXAMPLES) },
    readerImagesPerSecond: await measureReader(dataset),
  }
}

export { type DatasetReport, inspectDataset, type InspectOptions }
