// A folder with the four files of MNIST and its relatives, plain or gzip:
// train-images, train-labels, t10k-images, t10k-labels.

import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { checkLabels } from './check-labels.ts'
import { createLabels, type Labels, type RawDataset, type Split } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { parseIdxImages, parseIdxLabels } from './idx-file.ts'
import { readPackedFile } from './read-packed-file.ts'
import type { DatasetReader, DatasetSource, ReadOptions } from './reader.ts'

const STEMS = ['train-images', 'train-labels', 't10k-images', 't10k-labels'] as const
type Stem = (typeof STEMS)[number]

/** Every name we take for a file, best first: plain ones need no unpacking. */
function spellings(stem: Stem): string[] {
  const kinds = stem.endsWith('labels') ? ['idx1'] : ['idx3', 'idx4']
  const plain = kinds.flatMap((kind) => [`${stem}-${kind}-ubyte`, `${stem}.${kind}-ubyte`])
  return [...plain, ...plain.map((name) => `${name}.gz`)]
}

const LOOKED_FOR = `the IDX files ${STEMS.map((stem) => `${spellings(stem)[0]}[.gz]`).join(', ')}`

async function readSplit(imagesFile: string, labelsFile: string, onFile: (file: string) => void): Promise<Split> {
  const [{ count, shape, images }, { count: labelCount, labels }] = await Promise.all([
    readPackedFile(imagesFile).then((bytes) => {
      onFile(imagesFile)
      return parseIdxImages(bytes, imagesFile)
    }),
    readPackedFile(labelsFile).then((bytes) => {
      onFile(labelsFile)
      return parseIdxLabels(bytes, labelsFile)
    }),
  ])
  if (count !== labelCount) {
    throw new DatasetError(
      'count-mismatch',
      `expected as many labels as images, got ${count} images in ${imagesFile} and ${labelCount} labels in ${labelsFile}; ` +
        'the two files are not of one dataset',
      { file: labelsFile },
    )
  }
  return { count, shape, images, labels }
}

function largestOf(labels: Labels): number {
  let largest = 0
  for (const label of labels) largest = Math.max(largest, label)
  return largest
}

async function readIdx(source: DatasetSource, { classes, onProgress }: ReadOptions): Promise<RawDataset> {
  const [trainImages, trainLabels, testImages, testLabels] = source.files as [string, string, string, string]
  let doneFiles = 0
  const onFile = (file: string) => {
    doneFiles += 1
    onProgress?.({ kind: 'reading', file, doneFiles, totalFiles: STEMS.length })
  }
  const [train, test] = await Promise.all([readSplit(trainImages, trainLabels, onFile), readSplit(testImages, testLabels, onFile)])
  if (train.shape.join() !== test.shape.join()) {
    throw new DatasetError(
      'shape-mismatch',
      `expected train and test images of one shape, got ${train.shape.join('×')} in ${trainImages} and ` +
        `${test.shape.join('×')} in ${testImages}`,
      { file: testImages },
    )
  }
  // A network has no output for a class it never trains on, so the train labels decide unless the caller knows better.
  const known = classes ?? largestOf(train.labels) + 1
  const reason = classes === undefined ? `the classes of ${trainLabels}` : 'the number of classes asked for'
  checkLabels(train.labels, trainLabels, known, reason)
  checkLabels(test.labels, testLabels, known, reason)
  const withLabels = (split: Split): Split => {
    const labels = createLabels(split.count, known)
    labels.set(split.labels)
    return { ...split, labels }
  }
  return { shape: train.shape, classes: known, train: withLabels(train), test: withLabels(test) }
}

const idxReader: DatasetReader = {
  lookedFor: LOOKED_FOR,
  async locate(ref) {
    if (ref.kind !== 'folder') return null
    const names = new Set(await readdir(ref.folder))
    const found = STEMS.map((stem) => spellings(stem).find((name) => names.has(name)))
    if (found.every((name) => name === undefined)) return null
    const missing = STEMS.filter((_, index) => found[index] === undefined)
    if (missing.length > 0) {
      throw new DatasetError(
        'files-missing',
        `expected four IDX files in ${ref.folder}, got only ${found.filter((name) => name !== undefined).join(', ')}; ` +
          missing.map((stem) => `looked for ${spellings(stem).join(' or ')}`).join('; '),
        { file: join(ref.folder, spellings(missing[0] as Stem)[0] as string) },
      )
    }
    const files = found.map((name) => join(ref.folder, name as string))
    return { name: basename(ref.folder), files }
  },
  read: readIdx,
}

export { idxReader }
