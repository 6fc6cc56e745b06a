// What `gatehouse data check` tells of a dataset: everything that decides whether and how it can be trained on. Of a folder of
// images every file is decoded.

import { createHash } from 'node:crypto'
import { join } from 'node:path'

import type { BatchRequest } from './batch-source.ts'
import { type Dataset, type FileDataset, type FileSplit, type ImageShape, type Labels, type Normalisation, pathOf } from './dataset.ts'
import { reasonOf } from './errors.ts'
import { openBatchSource } from './open-batch-source.ts'
import { type DatasetKind, DEFAULT_CACHE_FOLDER, type OpenOptions, openDataset, recogniseDataset } from './open-dataset.ts'
import type { IndexedFolder } from './open-image-folder.ts'
import { parseDatasetRef } from './reference.ts'

/** Examples of broken, duplicate and ignored files that a report names. */
const MAX_EXAMPLES = 20
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
  readonly images: { readonly train: number; readonly test: number }
  /** Name of the folder that the test split is from; null where it was drawn, absent for other kinds. */
  readonly testFolder?: string | null
  readonly classes: readonly { readonly name: string; readonly train: number; readonly test: number }[]
  /** Width × height in the files, smallest and largest by area. */
  readonly sizes: { readonly smallest: Pair; readonly largest: Pair }
  readonly fingerprint: string
  readonly normalisation: Normalisation
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

type Occurrence = { readonly name: string; readonly split: 'train' | 'test'; readonly label: number }

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

function* recordContents({ layout, train, test }: IndexedFolder): Generator<readonly [string, Occurrence]> {
  for (const [split, images, records] of [
    ['train', layout.train, train],
    ['test', layout.test, test],
  ] as const) {
    for (const [index, { path, label }] of images.entries()) yield [records[index]?.sha256 ?? path, { name: path, split, label }]
  }
}

function* pixelContents(dataset: Dataset): Generator<readonly [string, Occurrence]> {
  if (dataset.storage === 'files') return
  for (const split of ['train', 'test'] as const) {
    const { images, labels, count } = dataset[split]
    const imageBytes = images.length / count
    for (let index = 0; index < count; index++) {
      const pixels = images.subarray(index * imageBytes, (index + 1) * imageBytes)
      const content = createHash('sha256').update(pixels).digest('base64')
      yield [content, { name: `${split} image ${index}`, split, label: labels[index] as number }]
    }
  }
}

function sizesOf(index: IndexedFolder | null, [height, width]: ImageShape): DatasetReport['sizes'] {
  const sound = index === null ? [] : [...index.train, ...index.test].filter((record) => record.width > 0)
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

/** Decodes every file whole, at an eighth of its size where the format can: damage shows all the same. */
async function findBroken(dataset: FileDataset, onDone: (done: number, total: number) => void): Promise<Map<string, string>> {
  const { decodeBox, refuseUnreadable } = await import('./image-decoder.ts')
  const { forEachAtOnce } = await import('./image-index.ts')
  const broken = new Map<string, string>()
  const total = dataset.train.count + dataset.test.count
  let done = 0
  const check = async (split: FileSplit, index: number) => {
    const path = pathOf(split, index)
    const size = { width: split.sizes[2 * index] as number, height: split.sizes[2 * index + 1] as number }
    if (size.width > 0) {
      try {
        await decodeBox(join(dataset.folder, path), size, { left: 0, top: 0, ...size }, [1, 1, dataset.shape[2]])
      } catch (error) {
        await refuseUnreadable(join(dataset.folder, path))
        broken.set(path, reasonOf(error))
      }
    }
    done += 1
    onDone(done, total)
  }
  for (const split of [dataset.train, dataset.test]) await forEachAtOnce(split.count, (index) => check(split, index))
  return broken
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
  const dataset = await openDataset(ref, options)
  const parsed = parseDatasetRef(ref, baseFolder)
  let index: IndexedFolder | null = null
  if (kind === 'images' && parsed.kind === 'folder') {
    const { indexImageFolder } = await import('./open-image-folder.ts')
    index = await indexImageFolder({ folder: parsed.folder, cacheFolder })
    for (const record of [...index.train, ...index.test]) if (record.broken !== undefined) broken.set(record.path, record.broken)
  }
  if (dataset.storage === 'files') {
    for (const [path, reason] of await findBroken(dataset, onDecoded ?? (() => undefined))) broken.set(path, reason)
  } else {
    for (const path of dataset.brokenFiles ?? []) if (!broken.has(path)) broken.set(path, 'cannot be decoded')
  }
  const { name, storage, shape, classes, classNames, train, test, fingerprint, normalisation } = dataset
  const trainCounts = countByClass(train.labels, classes)
  const testCounts = countByClass(test.labels, classes)
  const ignored = index?.layout.ignored ?? []
  return {
    name,
    kind,
    storage,
    shape,
    images: { train: train.count, test: test.count },
    ...(index === null ? {} : { testFolder: index.layout.testFolder }),
    classes: trainCounts.map((count, label) => ({
      name: classNames?.[label] ?? String(label),
      train: count,
      test: testCounts[label] ?? 0,
    })),
    sizes: sizesOf(index, shape),
    fingerprint,
    normalisation,
    broken: { count: broken.size, examples: [...broken].slice(0, MAX_EXAMPLES).map(([file, reason]) => ({ file, reason })) },
    duplicates: findDuplicates(index === null ? pixelContents(dataset) : recordContents(index)),
    ignored: { count: ignored.length, examples: ignored.slice(0, MAX_EXAMPLES) },
    readerImagesPerSecond: await measureReader(dataset),
  }
}

export { type DatasetReport, inspectDataset, type InspectOptions }
