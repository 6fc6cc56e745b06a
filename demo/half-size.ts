// The demo's images: those of a dataset at half their height and width, as IDX files in a folder, so that trainings that mean something take
// seconds. Whoever has a folder of small images begins a search the same way.

import { join } from 'node:path'
import { CliError } from '../command-line/exit-codes.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { openChosenDataset } from '../command-line/training-flags.ts'
import { writeWholeFiles } from '../command-line/whole-files.ts'
import { type Dataset, encodeIdxImages, encodeIdxLabels, type ImageShape, type Split } from '../engine/datasets/index.ts'
import type { Space } from '../search-space/index.ts'

const IMAGES = 'images'

/** Of commands that train on them. */
const dataFlagsOf = ({ images, folder }: { readonly images: string; readonly folder: string }) => [
  '--data',
  images,
  '--cache',
  join(folder, 'cache'),
]

/** Mean of each 2×2 pixels, rounded; images NHWC of bytes, height and width even. */
function halveImages(images: Uint8Array, [, width, channels]: ImageShape): Uint8Array {
  const row = width * channels
  const halved = new Uint8Array(images.length / 4)
  let to = 0
  for (let top = 0; top < images.length; top += 2 * row) {
    for (let left = top; left < top + row; left += 2 * channels) {
      for (let at = left; at < left + channels; at++) {
        const upper = (images[at] as number) + (images[at + channels] as number)
        const lower = (images[at + row] as number) + (images[at + row + channels] as number)
        halved[to++] = (upper + lower + 2) >> 2
      }
    }
  }
  return halved
}

function splitFiles(folder: string, name: string, { count, shape, images, labels }: Split) {
  const [height, width, channels] = shape
  const halved = halveImages(images as Uint8Array, shape)
  const small: ImageShape = [height / 2, width / 2, channels]
  return [
    { path: join(folder, `${name}-images-idx4-ubyte`), content: encodeIdxImages({ count, shape: small, images: halved }) },
    { path: join(folder, `${name}-labels-idx1-ubyte`), content: encodeIdxLabels(labels) },
  ]
}

/**
 * Writes both splits. Throws CliError `usage` for images that are not twice as high and wide as `input`, or not bytes in memory.
 *
 * @param input height, width and channels of the halved images
 */
function writeHalfSize(folder: string, dataset: Dataset, [height, width, channels]: ImageShape): void {
  const wanted: ImageShape = [2 * height, 2 * width, channels]
  const { shape } = dataset
  if (shape.join() !== wanted.join())
    throw new CliError('usage', `expected --data to have images of ${wanted.join('×')}, got ${shape.join('×')}`)
  if (dataset.storage !== 'memory' || !(dataset.train.images instanceof Uint8Array)) {
    throw new CliError('usage', `expected --data whose images are kept in memory, got ${dataset.name}, which is read from its files`)
  }
  writeWholeFiles([...splitFiles(folder, 'train', dataset.train), ...splitFiles(folder, 't10k', dataset.test)])
}

/** Opens the data, and leaves them at half size in a folder, which is returned. Throws CliError. */
async function halfSizeOf(
  terminal: Terminal,
  from: { readonly data: string; readonly cache: string },
  folder: string,
  { input }: Space,
): Promise<string> {
  const [height, width, channels] = input
  const dataset = await openChosenDataset(terminal, from, () => [2 * height, 2 * width, channels])
  const images = join(folder, IMAGES)
  writeHalfSize(images, dataset, input)
  return images
}

export { dataFlagsOf, halfSizeOf, halveImages, writeHalfSize }
