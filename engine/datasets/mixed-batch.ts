// The part of a mini-batch that was asked for, with its images mixed where the augmentation says so. The partners of a part are the images of
// the same part counted from the end, which are made as well: whoever makes which part, the mini-batch is the same.

import { createRandom, seedState } from '../../search-space/random.ts'
import type { BatchRequest } from './batch-source.ts'
import type { ImageShape } from './dataset.ts'
import type { Batch } from './fill-batch.ts'
import { drawMix, mixImages } from './mix-images.ts'

/** Images of the mini-batch from `from` up to, not including, `to`. */
type Part = { readonly from: number; readonly to: number }

/** Where the partners of a part of `count` images are, in reverse order. */
function mirrored({ from, to }: Part, count: number): Part {
  return { from: count - to, to: count - from }
}

/** @param fill makes a part, augmented but for the mixing, into new memory */
async function mixedBatch(
  { indices, part, augmentation }: BatchRequest,
  shape: ImageShape,
  fill: (part: Part) => Promise<Batch>,
): Promise<Batch> {
  const own = part ?? { from: 0, to: indices.length }
  const mix = augmentation && drawMix(augmentation.settings, shape, createRandom(seedState('mix', ...augmentation.seed)))
  const batch = await fill(own)
  if (!mix) return batch
  const other = mirrored(own, indices.length)
  // A copy: both images of a pair take from the other as it was.
  const partners = other.from === own.from ? { ...batch, images: batch.images.slice() } : await fill(other)
  mixImages(batch.images, partners.images, own.to - own.from, shape, mix)
  return { ...batch, mixed: { labels: partners.labels.toReversed(), share: mix.share } }
}

export { mirrored, mixedBatch, type Part }
