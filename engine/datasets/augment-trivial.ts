// TrivialAugment (Müller and Hutter 2021) in the form of torchvision's TrivialAugmentWide: one of 14 operations on bytes, each as likely, at one
// of 31 strengths, each as likely, in one of its two directions. Each operation is Pillow's, to the byte.
//
//   shear, translate, rotate   the nearest pixel; black comes in from outside
//   brightness, colour, contrast, sharpness   v ← d + f (v − d), f = 1 ± strength, cut to a byte, where d is black, the grey of the pixel,
//                              the mean grey of the image, or the image smoothed by [1 1 1, 1 5 1, 1 1 1] / 13 within its border
//   posterize                  only the first bits stay        solarize   v ≥ threshold becomes 255 − v
//   autocontrast, equalize     per channel, over the values that are there

import type { Random } from '../../search-space/random.ts'
import type { ImageShape } from './dataset.ts'

const BINS = 31
const LARGEST = 255
const VALUES = 256

/** Strengths from none to most. */
function strengths(most: number, least = 0): number[] {
  return Array.from({ length: BINS }, (_, bin) => least + ((most - least) * bin) / (BINS - 1))
}

type Operation = {
  readonly strengths: readonly number[]
  readonly hasDirection: boolean
  /** A new image. */
  readonly run: (pixels: Uint8Array, shape: ImageShape, strength: number) => Uint8Array
}

/** A byte as Pillow makes one of a float: its whole part. */
function toByte(value: number): number {
  return value <= 0 ? 0 : value >= LARGEST ? LARGEST : Math.trunc(value)
}

/** x ← a x + b y + c, y ← d x + e y + f: where the middle of each pixel comes from. */
type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number]

function transform(pixels: Uint8Array, [height, width, channels]: ImageShape, [a, b, c, d, e, f]: Affine): Uint8Array {
  const moved = new Uint8Array(pixels.length)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const fromX = Math.floor(a * (x + 0.5) + b * (y + 0.5) + c)
      const fromY = Math.floor(d * (x + 0.5) + e * (y + 0.5) + f)
      if (fromX < 0 || fromX >= width || fromY < 0 || fromY >= height) continue
      const from = (fromY * width + fromX) * channels
      moved.set(pixels.subarray(from, from + channels), (y * width + x) * channels)
    }
  }
  return moved
}

/** About the middle, against the clock. */
function rotation([height, width]: ImageShape, degrees: number): Affine {
  const angle = (degrees * Math.PI) / 180
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
  const [x, y] = [width / 2, height / 2]
  return [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]
}

/** Luma of ITU-R BT.601 in Pillow's 16-bit integers. */
function greyOf(red: number, green: number, blue: number): number {
  return (red * 19_595 + green * 38_470 + blue * 7471 + 0x8000) >> 16
}

/** Of each pixel, as often as it has channels. Images that have not three channels are their own grey. */
function greyImage(pixels: Uint8Array, [, , channels]: ImageShape): Uint8Array {
  if (channels !== 3) return pixels.slice()
  const grey = new Uint8Array(pixels.length)
  for (let at = 0; at < pixels.length; at += channels) {
    grey.fill(greyOf(pixels[at] as number, pixels[at + 1] as number, pixels[at + 2] as number), at, at + channels)
  }
  return grey
}

function meanGrey(pixels: Uint8Array, shape: ImageShape): number {
  const grey = greyImage(pixels, shape)
  return Math.trunc(grey.reduce((sum, value) => sum + value, 0) / grey.length + 0.5)
}

function smoothed(pixels: Uint8Array, [height, width, channels]: ImageShape): Uint8Array {
  const smooth = pixels.slice()
  for (let y = 1; y < height - 1; y++) {
    for (let at = (y * width + 1) * channels; at < (y * width + width - 1) * channels; at++) {
      let sum = 4 * (pixels[at] as number)
      for (const row of [at - width * channels, at, at + width * channels]) {
        sum += (pixels[row - channels] as number) + (pixels[row] as number) + (pixels[row + channels] as number)
      }
      smooth[at] = toByte(sum / 13 + 0.5)
    }
  }
  return smooth
}

/** Away from (f above 1) or towards another image, or one value. */
function blend(pixels: Uint8Array, towards: Uint8Array | number, f: number): Uint8Array {
  const factor = Math.fround(f)
  return pixels.map((value, at) => {
    const other = typeof towards === 'number' ? towards : (towards[at] as number)
    // In float32, as Pillow computes it.
    return toByte(Math.fround(other + Math.fround(factor * (value - other))))
  })
}

/** `table` makes a table of 256 bytes from a channel's histogram; null leaves the channel as it is. */
function byChannel(pixels: Uint8Array, channels: number, table: (histogram: Uint32Array) => Uint8Array | null): Uint8Array {
  const changed = pixels.slice()
  for (let channel = 0; channel < channels; channel++) {
    const histogram = new Uint32Array(VALUES)
    for (let at = channel; at < pixels.length; at += channels) {
      const value = pixels[at] as number
      histogram[value] = (histogram[value] as number) + 1
    }
    const values = table(histogram)
    if (values !== null) for (let at = channel; at < pixels.length; at += channels) changed[at] = values[pixels[at] as number] as number
  }
  return changed
}

function contrastTable(histogram: Uint32Array): Uint8Array | null {
  const low = histogram.findIndex((count) => count > 0)
  const high = histogram.findLastIndex((count) => count > 0)
  if (high <= low) return null
  const scale = LARGEST / (high - low)
  return Uint8Array.from(histogram, (_, value) => Math.max(0, Math.min(LARGEST, Math.trunc(value * scale - low * scale))))
}

function equalTable(histogram: Uint32Array): Uint8Array | null {
  const present = histogram.filter((count) => count > 0)
  const total = present.reduce((sum, count) => sum + count, 0)
  const step = Math.floor((total - (present.at(-1) as number)) / LARGEST)
  if (present.length <= 1 || step === 0) return null
  let sum = Math.floor(step / 2)
  return Uint8Array.from(histogram, (count) => {
    const value = Math.min(LARGEST, Math.floor(sum / step))
    sum += count
    return value
  })
}

const MOST_SHEAR = 0.99
const MOST_PIXELS = 32
const MOST_DEGREES = 135
const MOST_CHANGE = 0.99
const BITS = 8
const MOST_BITS_LOST = 6

const changing = (run: Operation['run']): Operation => ({ strengths: strengths(MOST_CHANGE), hasDirection: true, run })

/** In torchvision's order. */
const operations: readonly (readonly [name: string, operation: Operation])[] = [
  ['identity', { strengths: [0], hasDirection: false, run: (pixels) => pixels.slice() }],
  [
    'shearX',
    { strengths: strengths(MOST_SHEAR), hasDirection: true, run: (pixels, shape, by) => transform(pixels, shape, [1, by, 0, 0, 1, 0]) },
  ],
  [
    'shearY',
    { strengths: strengths(MOST_SHEAR), hasDirection: true, run: (pixels, shape, by) => transform(pixels, shape, [1, 0, 0, by, 1, 0]) },
  ],
  [
    'translateX',
    {
      strengths: strengths(MOST_PIXELS),
      hasDirection: true,
      run: (pixels, shape, by) => transform(pixels, shape, [1, 0, -Math.trunc(by), 0, 1, 0]),
    },
  ],
  [
    'translateY',
    {
      strengths: strengths(MOST_PIXELS),
      hasDirection: true,
      run: (pixels, shape, by) => transform(pixels, shape, [1, 0, 0, 0, 1, -Math.trunc(by)]),
    },
  ],
  [
    'rotate',
    { strengths: strengths(MOST_DEGREES), hasDirection: true, run: (pixels, shape, by) => transform(pixels, shape, rotation(shape, by)) },
  ],
  ['brightness', changing((pixels, _, by) => blend(pixels, 0, 1 + by))],
  ['colour', changing((pixels, shape, by) => blend(pixels, greyImage(pixels, shape), 1 + by))],
  ['contrast', changing((pixels, shape, by) => blend(pixels, meanGrey(pixels, shape), 1 + by))],
  ['sharpness', changing((pixels, shape, by) => blend(pixels, smoothed(pixels, shape), 1 + by))],
  [
    'posterize',
    {
      // Half to even, as NumPy and PyTorch round: no strength is halfway between two.
      strengths: strengths(MOST_BITS_LOST).map((bits) => BITS - Math.round(bits)),
      hasDirection: false,
      run: (pixels, _, bits) => pixels.map((value) => value & ~(2 ** (BITS - bits) - 1)),
    },
  ],
  [
    'solarize',
    {
      strengths: strengths(0, LARGEST),
      hasDirection: false,
      run: (pixels, _, from) => pixels.map((value) => (value < from ? value : LARGEST - value)),
    },
  ],
  ['autocontrast', { strengths: [0], hasDirection: false, run: (pixels, [, , channels]) => byChannel(pixels, channels, contrastTable) }],
  ['equalize', { strengths: [0], hasDirection: false, run: (pixels, [, , channels]) => byChannel(pixels, channels, equalTable) }],
]

type DrawnOperation = { readonly operation: Operation; readonly strength: number }

/** Draws the operation, then a bin where it has strengths, then a direction where it has two. */
function drawTrivial(random: Random): DrawnOperation {
  const [, operation] = operations[random.integer(operations.length)] as (typeof operations)[number]
  const { strengths: all, hasDirection } = operation
  const strength = all.length > 1 ? (all[random.integer(all.length)] as number) : 0
  return { operation, strength: hasDirection && random.integer(2) === 1 ? -strength : strength }
}

/** A new image, height × width × channels bytes. */
function augmentTrivially(pixels: Uint8Array, shape: ImageShape, { operation, strength }: DrawnOperation): Uint8Array {
  return operation.run(pixels, shape, strength)
}

export { augmentTrivially, drawTrivial, operations as trivialOperations }
