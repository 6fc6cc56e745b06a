// Single images of a folder, decoded. A file that cannot be decoded is replaced by the next one of its class, in the order
// of the split and round the end of the class: the same on every machine that has the same files. Nothing is remembered
// of earlier attempts, since a file that ends early may still give a part near its top: what a machine gets must not depend
// on what it asked for before.

import { join } from 'node:path'

import type { CropBox, Size } from './crop-box.ts'
import { type FileDataset, type FileSplit, pathOf } from './dataset.ts'
import { DatasetError, reasonOf } from './errors.ts'
import { decodeBox, refuseUnreadable } from './image-decoder.ts'
import { placeOf } from './image-place.ts'
import type { Pixels } from './pixels.ts'

type FileImages = {
  /**
   * The part of image `index` that `chooseBox` picks for its size, scaled to height × width × channels values.
   * Throws `file-unreadable` where a file is gone, `broken-images` where no image of the class can be decoded.
   */
  decode(index: number, chooseBox: (image: Size) => CropBox): Promise<Pixels>
}

type OnBrokenImage = (path: string, reason: string) => void

/** First image of each class, and one past the last of all: labels ascend. */
function classStarts({ labels, count }: FileSplit, classes: number): Uint32Array {
  const starts = new Uint32Array(classes + 1)
  for (let index = 0; index < count; index++) {
    const next = (labels[index] as number) + 1
    starts[next] = (starts[next] as number) + 1
  }
  for (let label = 1; label <= classes; label++) starts[label] = (starts[label] as number) + (starts[label - 1] as number)
  return starts
}

function openFileImages(
  { folder, shape, bits, classes }: Pick<FileDataset, 'folder' | 'shape' | 'bits' | 'classes'>,
  split: FileSplit,
  onBroken: OnBrokenImage,
): FileImages {
  const starts = classStarts(split, classes)

  /** A text is the reason why an image is broken. */
  const tryDecode = async (index: number, chooseBox: (image: Size) => CropBox): Promise<Pixels | string> => {
    const path = pathOf(split, index)
    const size = { width: split.sizes[2 * index] as number, height: split.sizes[2 * index + 1] as number }
    if (size.width === 0) {
      const reason = 'its header is not that of an image'
      onBroken(path, reason)
      return reason
    }
    const place = placeOf(folder, path)
    try {
      return await decodeBox(place, size, chooseBox(size), shape, bits)
    } catch (cause) {
      await refuseUnreadable(place)
      onBroken(path, reasonOf(cause))
      return reasonOf(cause)
    }
  }

  return {
    async decode(index, chooseBox) {
      const label = split.labels[index] as number
      const start = starts[label] as number
      const count = (starts[label + 1] as number) - start
      let reason = ''
      for (let tried = 0; tried < count; tried++) {
        const image = await tryDecode(start + ((index - start + tried) % count), chooseBox)
        if (typeof image !== 'string') return image
        reason ||= image
      }
      throw new DatasetError(
        'broken-images',
        `expected an image that can be decoded among the ${count} of class ${label} like ${join(folder, pathOf(split, index))}, got none: ` +
          `${reason}; run \`gatehouse data check\` on the folder`,
        { file: join(folder, pathOf(split, index)) },
      )
    },
  }
}

export { type FileImages, type OnBrokenImage, openFileImages }
