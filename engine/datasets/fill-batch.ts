// Values of images to a normalised, perhaps augmented, batch of floats: (value / largest − mean[c]) / std[c], by one table per channel of a
// float for each of the 256 or 65,536 values. Augmentation per image: mirror left to right with probability ½, then shift by a whole number of
// pixels, uniform in [−shift, shift] down and across; what comes in from outside is black (0 before normalisation). That
// is the same as padding the image and cropping it at random. Behind it come TrivialAugment, on bytes (augment-trivial.ts), colours and cutout
// (augment-colours.ts) and erasing (augment-erase.ts); what mixes images of a mini-batch is in mixed-batch.ts.

import type { Random } from '../../search-space/random.ts'
import {
  type ColourAugmentation,
  cutOut,
  drawMiddle,
  drawsColours,
  jitterColours,
  needsThreeChannels,
  skipColours,
} from './augment-colours.ts'
import { drawErased, erase } from './augment-erase.ts'
import { augmentTrivially, drawTrivial } from './augment-trivial.ts'
import type { ImageShape, Normalisation, Split } from './dataset.ts'
import { DatasetError } from './errors.ts'
import type { MixSettings } from './mix-images.ts'
import { bitsOfPixels, largestValue, type PixelBits, type Pixels } from './pixels.ts'

const FLIP_PROBABILITY = 0.5

type Augmentation = Partial<ColourAugmentation> & {
  flip: boolean
  /** In pixels, a whole number. */
  shift: number
  /** Of images that are decoded for each batch: the least part of their area that is drawn, 0 to 1. Here it has no effect. */
  minArea?: number
  /** TrivialAugment on every image. */
  trivial?: boolean | undefined
  /** Probability with which a rectangle is erased. */
  erase?: number | undefined
} & MixSettings

type Batch = {
  /** batch × height × width × channels, NHWC. */
  images: Float32Array
  labels: Int32Array
  /** Where every image is a mixture of two: labels of the other one, and the share of the own. */
  mixed?: { labels: Int32Array; share: number }
}

type FillBatchOptions = {
  split: Split
  /** Indices into the split. */
  indices: Uint32Array
  normalisation: Normalisation
  /** Default: none. */
  augmentation?: Augmentation
  /**
   * Needed with an augmentation; draws per image, in this order, what is on: mirror, down, across, operation, strength and direction of
   * TrivialAugment, brightness, contrast, saturation, row and column of the cutout's middle, the erased rectangle.
   */
  random?: Random
  /** Images of the batch before the first of `indices`, which others make: what `random` draws for them is passed over. Default: 0. */
  skip?: number
  /** Written and returned instead of new arrays; must have exactly the batch's lengths. */
  output?: Batch
}

const tables: Readonly<Record<PixelBits, WeakMap<Normalisation, Float32Array>>> = { 8: new WeakMap(), 16: new WeakMap() }
/** Pixels scaled to 0..1, which is what colours are changed in. */
const PLAIN: Record<number, Normalisation> = {}

function plainTable(channels: number, bits: PixelBits): Float32Array {
  PLAIN[channels] ??= { mean: Array<number>(channels).fill(0), std: Array<number>(channels).fill(1) }
  return tableOf(PLAIN[channels], channels, bits)
}

/** Entry value × channels + channel; made once per normalisation object and bits. */
function tableOf(normalisation: Normalisation, channels: number, bits: PixelBits): Float32Array {
  const { mean, std } = normalisation
  if (mean.length !== channels || std.length !== channels) {
    throw new DatasetError(
      'bad-batch',
      `expected a normalisation of ${channels} channels, got ${mean.length} means and ${std.length} deviations`,
    )
  }
  const known = tables[bits].get(normalisation)
  if (known !== undefined) return known
  const largest = largestValue(bits)
  const table = Float32Array.from({ length: (largest + 1) * channels }, (_, entry) => {
    const channel = entry % channels
    return (Math.floor(entry / channels) / largest - (mean[channel] as number)) / (std[channel] as number)
  })
  tables[bits].set(normalisation, table)
  return table
}

/** Where an image lies in the batch and in the split, in values. */
type ImagePlace = { from: number; to: number; shape: ImageShape; table: Float32Array }

function copyPlain(images: Pixels, output: Float32Array, { from, to, shape, table }: ImagePlace): void {
  const [height, width, channels] = shape
  const length = height * width * channels
  if (channels === 1) {
    for (let at = 0; at < length; at++) output[to + at] = table[images[from + at] as number] as number
    return
  }
  for (let at = 0; at < length; at += channels) {
    for (let channel = 0; channel < channels; channel++) {
      const value = images[from + at + channel] as number
      output[to + at + channel] = table[value * channels + channel] as number
    }
  }
}

/** Output pixel (y, x) comes from (y − down, x − across), its column counted from the right when mirrored. */
function copyMoved(
  images: Pixels,
  output: Float32Array,
  { from, to, shape, table }: ImagePlace,
  { mirrored, down, across }: { mirrored: boolean; down: number; across: number },
): void {
  const [height, width, channels] = shape
  let target = to
  for (let y = 0; y < height; y++) {
    const sourceY = y - down
    const rowInside = sourceY >= 0 && sourceY < height
    for (let x = 0; x < width; x++) {
      const shifted = x - across
      const inside = rowInside && shifted >= 0 && shifted < width
      const sourceX = mirrored ? width - 1 - shifted : shifted
      const source = from + (sourceY * width + sourceX) * channels
      for (let channel = 0; channel < channels; channel++) {
        const value = inside ? (images[source + channel] as number) : 0
        output[target++] = table[value * channels + channel] as number
      }
    }
  }
}

function checkOutput(output: Batch, imageValues: number, labels: number): void {
  if (output.images.length === imageValues && output.labels.length === labels) return
  throw new DatasetError(
    'bad-batch',
    `expected an output of ${imageValues} image values and ${labels} labels, got ${output.images.length} and ${output.labels.length}`,
  )
}

function checkAugmentation({ shift, cutout = 0, ...augmentation }: Augmentation, [, , channels]: ImageShape): void {
  for (const [name, pixels] of Object.entries({ shift, cutout })) {
    if (!(Number.isInteger(pixels) && pixels >= 0)) {
      throw new DatasetError('bad-batch', `expected ${name} to be a whole number of pixels, at least 0, got ${pixels}`)
    }
  }
  if (needsThreeChannels(augmentation) && channels !== 3) {
    throw new DatasetError('bad-batch', `expected images of 3 channels for a saturation above 0, got ${channels}`)
  }
}

/** What is drawn before an image is copied, in this order. */
function drawMove({ flip, shift }: Augmentation, random: Random): { mirrored: boolean; down: number; across: number } {
  const mirrored = flip && random.uniform() < FLIP_PROBABILITY
  const down = shift > 0 ? random.integer(2 * shift + 1) - shift : 0
  const across = shift > 0 ? random.integer(2 * shift + 1) - shift : 0
  return { mirrored, down, across }
}

/** Draws all that is drawn for one image. */
function skipImage(augmentation: Augmentation, shape: ImageShape, random: Random): void {
  const { cutout = 0, erase: erased = 0, trivial = false } = augmentation
  const [height, width] = shape
  drawMove(augmentation, random)
  if (trivial) drawTrivial(random)
  skipColours(augmentation, random)
  if (cutout > 0) drawMiddle(height, width, random)
  if (erased > 0) drawErased(shape, erased, random)
}

type Move = ReturnType<typeof drawMove>

/** The bytes of an image moved, as a new image. */
function moveBytes(images: Uint8Array, from: number, [height, width, channels]: ImageShape, { mirrored, down, across }: Move): Uint8Array {
  const moved = new Uint8Array(height * width * channels)
  for (let y = Math.max(0, down); y < Math.min(height, height + down); y++) {
    for (let x = Math.max(0, across); x < Math.min(width, width + across); x++) {
      const sourceX = mirrored ? width - 1 - (x - across) : x - across
      const source = from + ((y - down) * width + sourceX) * channels
      moved.set(images.subarray(source, source + channels), (y * width + x) * channels)
    }
  }
  return moved
}

/** Throws where the images are no bytes, which TrivialAugment is defined on. */
function bytesOf(images: Pixels): Uint8Array {
  if (images instanceof Uint8Array) return images
  throw new DatasetError('bad-batch', 'expected images of 8 bits for TrivialAugment (augmentation.trivial), got values of 16 bits')
}

/** Fills a batch; the same arguments and the same state of `random` always give the same numbers. */
function fillBatch(options: FillBatchOptions): Batch {
  const { split, indices, normalisation, augmentation = { flip: false, shift: 0 }, random, skip = 0 } = options
  const { flip, shift, cutout = 0, trivial = false, erase: erased = 0 } = augmentation
  const { shape } = split
  const imageLength = shape[0] * shape[1] * shape[2]
  const output = options.output ?? {
    images: new Float32Array(indices.length * imageLength),
    labels: new Int32Array(indices.length),
  }
  checkOutput(output, indices.length * imageLength, indices.length)
  checkAugmentation(augmentation, shape)
  const hasColours = drawsColours(augmentation)
  const isAugmented = flip || shift > 0 || cutout > 0 || hasColours || trivial || erased > 0
  if (isAugmented && random === undefined) {
    throw new DatasetError('bad-batch', 'expected a random generator with an augmentation; seed one by (seed, step)')
  }
  const bits = bitsOfPixels(split.images)
  const normalised = tableOf(normalisation, shape[2], bits)
  const table = hasColours ? plainTable(shape[2], bits) : normalised
  const bytes = trivial ? bytesOf(split.images) : null
  if (random !== undefined) for (let image = 0; image < skip; image++) skipImage(augmentation, shape, random)

  for (let slot = 0; slot < indices.length; slot++) {
    const index = indices[slot] as number
    if (index >= split.count) {
      throw new DatasetError('bad-batch', `expected indices below ${split.count}, got ${index} (indices[${slot}])`)
    }
    const place = { from: index * imageLength, to: slot * imageLength, shape, table }
    if (random !== undefined && bytes !== null) {
      const moved = moveBytes(bytes, place.from, shape, drawMove(augmentation, random))
      copyPlain(augmentTrivially(moved, shape, drawTrivial(random)), output.images, { ...place, from: 0 })
    } else if (random !== undefined && (flip || shift > 0)) {
      copyMoved(split.images, output.images, place, drawMove(augmentation, random))
    } else {
      copyPlain(split.images, output.images, place)
    }
    if (random !== undefined && (hasColours || cutout > 0 || erased > 0)) {
      const image = output.images.subarray(place.to, place.to + imageLength)
      if (hasColours) jitterColours(image, normalisation, augmentation, random)
      if (cutout > 0) cutOut(image, shape, cutout, random)
      const rectangle = erased > 0 ? drawErased(shape, erased, random) : null
      if (rectangle) erase(image, shape, rectangle)
    }
    output.labels[slot] = split.labels[index] as number
  }
  return output
}

export { type Augmentation, type Batch, fillBatch, type FillBatchOptions }
