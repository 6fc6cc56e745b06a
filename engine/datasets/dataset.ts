// What a dataset is to the rest of the engine: labelled images of a train and a test split, and one fingerprint by which
// machines agree that they hold the same data. Images are bytes in memory, or files that are decoded when they are needed;
// open-batch-source.ts makes mini-batches of both.

import { DatasetError } from './errors.ts'
import { bitsOfPixels, type PixelBits, type Pixels } from './pixels.ts'

/** Height, width and channels of one image. */
type ImageShape = readonly [height: number, width: number, channels: number]

type SplitName = 'train' | 'test' | 'validation'

/** One class index per image: bytes up to 256 classes, two bytes each beyond. */
type Labels = Uint8Array | Uint16Array

type Split = {
  count: number
  shape: ImageShape
  /** count × height × width × channels values, NHWC. */
  images: Pixels
  /** `count` class indices. */
  labels: Labels
}

/** Paths of images below the dataset's folder, UTF-8, `/` between names, one after another; `pathEnds` says where each ends. */
type ImagePaths = { readonly paths: Uint8Array; readonly pathEnds: Uint32Array }

/** Images that stay in their files. Typed arrays rather than objects: a million images take 50 MB, and threads can share them. */
type FileSplit = ImagePaths & {
  count: number
  /** `count` class indices, ascending. */
  labels: Labels
  /** Width and height of each image as it is looked at, in pixels; both 0 where the file's header cannot be read. */
  sizes: Uint32Array
}

/** Per channel, of the train images scaled to 0..1. */
type Normalisation = { mean: number[]; std: number[] }

/** What a reader makes of its files; everything else about a dataset follows from it. */
type RawDataset = {
  /** Of the images in batches; files may hold larger ones. */
  shape: ImageShape
  classes: number
  classNames?: readonly string[]
  train: Split
  test: Split
  /** Images that a person has set aside to look at while training; otherwise a share of the train split is. */
  validation?: Split
}

type DatasetFacts = {
  /** For people; not part of the fingerprint. */
  name: string
  /** sha256 in hex; docs/datasets.md says over what. */
  fingerprint: string
  normalisation: Normalisation
}

type MemoryDataset = RawDataset &
  DatasetFacts & {
    storage: 'memory'
    /** Files of a folder of images that could not be decoded, each replaced by another of its class. */
    brokenFiles?: readonly string[]
    /** Of a folder of images, where they were: in the order of the images of each split. */
    files?: { readonly [Name in SplitName]?: ImagePaths }
  }

type FileDataset = Omit<RawDataset, SplitName> &
  DatasetFacts & {
    storage: 'files'
    /** Absolute. */
    folder: string
    /** Of the values that images are decoded to. */
    bits: PixelBits
    train: FileSplit
    test: FileSplit
    validation?: FileSplit
  }

type Dataset = MemoryDataset | FileDataset

/** An array for `count` labels of that many classes. */
function createLabels(count: number, classes: number): Labels {
  return classes <= 256 ? new Uint8Array(count) : new Uint16Array(count)
}

/** Of a value of its images. */
function bitsOf(dataset: Dataset): PixelBits {
  return dataset.storage === 'files' ? dataset.bits : bitsOfPixels(dataset.train.images)
}

/** The path of one image below the dataset's folder. */
function pathOf({ paths, pathEnds }: ImagePaths, index: number): string {
  return Buffer.from(paths.buffer, paths.byteOffset, paths.length).toString('utf8', index === 0 ? 0 : pathEnds[index - 1], pathEnds[index])
}

/** Throws where the data set has no such split. */
function splitOf<D extends Dataset>(dataset: D, name: SplitName): NonNullable<D[SplitName]> {
  const split = dataset[name]
  if (split === undefined) throw new DatasetError('bad-batch', `expected ${dataset.name} to have a ${name} split`)
  return split
}

/** What an image is called: its path where it is from a folder of images, otherwise its number. */
function nameOfImage(dataset: Dataset, split: SplitName, index: number): string {
  const paths = dataset.storage === 'files' ? dataset[split] : dataset.files?.[split]
  return paths === undefined ? `${split} image ${index}` : pathOf(paths, index)
}

export {
  bitsOf,
  createLabels,
  type Dataset,
  type FileDataset,
  type FileSplit,
  type ImageShape,
  type Labels,
  type MemoryDataset,
  nameOfImage,
  type Normalisation,
  pathOf,
  type RawDataset,
  type Split,
  type SplitName,
  splitOf,
}
