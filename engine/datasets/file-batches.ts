// Batches of images that stay in their files. All images of a batch are handed to the decoder at once, and the batches
// ahead of it too, so that its threads have work while the calling thread trains. Decoded images wait as they are; they become
// floats, a quarter of a millisecond per image, when their batch is asked for.
//
// Training takes a random part of each image instead of shifting it; mirroring is fill-batch.ts's, as for images in memory.

import { createRandom, seedState } from '../../search-space/random.ts'
import type { BatchRequest, BatchSource } from './batch-source.ts'
import { coverBox, type CropBox, EVALUATION_SHARE, randomBox, type Size } from './crop-box.ts'
import { createLabels, type FileDataset, type Split, type SplitName, splitOf } from './dataset.ts'
import { DatasetError } from './errors.ts'
import { type FileImages, openFileImages } from './file-images.ts'
import { fillBatch } from './fill-batch.ts'
import { BATCHES_AHEAD } from './limits.ts'
import { isMixed } from './mix-images.ts'
import { mirrored, mixedBatch, type Part } from './mixed-batch.ts'
import { createPixels } from './pixels.ts'
import { streamBatches } from './stream-batches.ts'

/** Smallest part of an image that is drawn, unless the augmentation says another (Szegedy et al. 2015). */
const DEFAULT_MIN_AREA = 0.08

function openFileBatches(dataset: FileDataset): BatchSource {
  const { shape, bits, classes, normalisation } = dataset
  const [height, width, channels] = shape
  const imageValues = height * width * channels
  const broken = new Set<string>()
  const onBroken = (path: string) => void broken.add(path)
  const opened = new Map<SplitName, FileImages>()
  const imagesOf = (name: SplitName) => {
    const images = opened.get(name) ?? openFileImages(dataset, splitOf(dataset, name), onBroken)
    opened.set(name, images)
    return images
  }

  /** Drawn from a generator of its own per place in the batch, which a replaced image starts again. */
  const boxChooser =
    (augmentation: BatchRequest['augmentation'], slot: number) =>
    (image: Size): CropBox => {
      const minArea = augmentation?.settings.minArea ?? DEFAULT_MIN_AREA
      if (augmentation === undefined || minArea >= 1) return coverBox(image, { height, width }, EVALUATION_SHARE)
      return randomBox(image, minArea, createRandom(seedState('crop', ...augmentation.seed, slot)))
    }

  const decodePart = async (
    { split: splitName, indices: whole, augmentation }: BatchRequest,
    { from: first, to }: Part,
  ): Promise<Split> => {
    const files = splitOf(dataset, splitName)
    const source = imagesOf(splitName)
    const indices = whole.subarray(first, to)
    const images = createPixels(indices.length * imageValues, bits)
    const labels = createLabels(indices.length, classes)
    await Promise.all(
      Array.from(indices, async (index, slot) => {
        if (index >= files.count) {
          throw new DatasetError('bad-batch', `expected indices below ${files.count}, got ${index} (indices[${first + slot}])`)
        }
        images.set(await source.decode(index, boxChooser(augmentation, first + slot)), slot * imageValues)
        labels[slot] = files.labels[index] as number
      }),
    )
    return { count: indices.length, shape, images, labels }
  }

  return {
    batches: (requests) =>
      streamBatches(requests, BATCHES_AHEAD, (request) => {
        const { indices: whole, part: wanted = { from: 0, to: whole.length }, augmentation } = request
        const decoding = new Map<number, Promise<Split>>()
        const decode = (part: Part) => {
          const split = decoding.get(part.from) ?? decodePart(request, part)
          decoding.set(part.from, split)
          // Whoever asks for it gets the error; until then it must not count as unhandled.
          split.catch(() => undefined)
          return split
        }
        void decode(wanted)
        if (augmentation && isMixed(augmentation.settings)) void decode(mirrored(wanted, whole.length))
        return () =>
          mixedBatch(request, shape, async (part) => {
            const split = await decode(part)
            const indices = Uint32Array.from({ length: split.count }, (_, slot) => slot)
            if (augmentation === undefined) return fillBatch({ split, indices, normalisation })
            const random = createRandom(seedState(...augmentation.seed))
            const settings = { ...augmentation.settings, shift: 0 }
            return fillBatch({ split, indices, normalisation, augmentation: settings, random, skip: part.from })
          })
      }),
    brokenFiles: () => [...broken].sort(),
  }
}

export { openFileBatches }
