// The one interface behind every source of images. A new format is a new file that implements it and one more line in
// open-dataset.ts.

import type { RawDataset } from './dataset.ts'
import type { PixelBits } from './pixels.ts'
import type { DatasetRef } from './reference.ts'

type DatasetProgress =
  /** A package that npm carries is being fetched, which is done once. */
  | { kind: 'fetching'; what: string }
  /** A source file has been read and decoded. */
  | { kind: 'reading'; file: string; doneFiles: number; totalFiles: number }
  /** A cache file was there but could not be used. */
  | { kind: 'rebuilding-cache'; cacheFile: string; reason: string }
  /** What is probably not meant so, with what to do about it; the dataset can be trained on all the same. */
  | { kind: 'warning'; message: string }
  /** A file that is not a readable image; another of its class takes its place. */
  | { kind: 'broken-image'; file: string; reason: string }
  /** The dataset is open, but the next start will have to read the source again. */
  | { kind: 'cache-not-written'; cacheFile: string; reason: string }

type OnDatasetProgress = (progress: DatasetProgress) => void

type DatasetSource = {
  /** Short name for people. */
  name: string
  /** Absolute paths, in the order the reader wants them; a change of size or time of any makes the cache stale. */
  files: string[]
}

/** Where what is fetched is kept. */
type LocatePlace = { readonly cacheFolder: string; readonly onProgress?: OnDatasetProgress | undefined }

/** Null: nothing of this reader's is there. */
type LocateResult = DatasetSource | null

type ReadOptions = {
  /** Number of classes; a reader that finds none in its files takes the largest train label plus one. */
  classes?: number
  /** Of values wanted: arrays of 16 bits are read for 16 only. Bytes are taken for both. Default: 8. */
  bits?: PixelBits
  onProgress?: OnDatasetProgress
}

type DatasetReader = {
  /** What it takes, for the message when nothing is found. */
  readonly lookedFor: string
  /** Looks at names only, but for what it fetches where it is not there. Throws a `DatasetError` when the dataset is its own but incomplete. */
  locate(ref: DatasetRef, place: LocatePlace): Promise<LocateResult>
  /** Reads and checks everything. Throws a `DatasetError` that names the file at fault. */
  read(source: DatasetSource, options: ReadOptions): Promise<RawDataset>
}

export type { DatasetProgress, DatasetReader, DatasetSource, LocatePlace, LocateResult, OnDatasetProgress, ReadOptions }
