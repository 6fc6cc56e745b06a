// What augmentation does to one image beyond moving it, in place.
//
// Colours, in values of 0 to 1, each clamped there again, with factors f uniform in [1 − amount, 1 + amount]:
//   brightness  v ← f v
//   contrast    v ← f v + (1 − f) m      m: the mean grey of the image as it is by then
//   saturation  v ← f v + (1 − f) g      g: the grey of the pixel; three channels only
// Grey is luma (ITU-R BT.601) for three channels, otherwise the mean over channels.
// Cutout (DeVries and Taylor 2017): a square whose middle is anywhere in the image becomes 0 after normalisation, the
// mean colour; what would lie outside is lost.

import type { Random } from '../../search-space/random.ts'
import type { ImageShape, Normalisation } from './dataset.ts'

/** `cutout` is the side of the square in pixels, the others amounts from 0 to 1; 0 turns each off. */
type ColourAugmentation = { cutout: number; brightness: number; contrast: number; saturation: number }

const LUMA = [0.299, 0.587, 0.114] as const

function drawsColours({ brightness = 0, contrast = 0, saturation = 0 }: Partial<ColourAugmentation>): boolean {
  return brightness > 0 || contrast > 0 || saturation > 0
}

function needsThreeChannels({ saturation = 0 }: Partial<ColourAugmentation>): boolean {
  return saturation > 0
}

function clamped(value: number): number {
  return value < 0 ? 0 : Math.min(value, 1)
}

function factor(amount: number, random: Random): number {
  return 1 + amount * (2 * random.uniform() - 1)
}

/** Grey of the pixel that starts at `at`. */
function greyAt(image: Float32Array, at: number, channels: number): number {
  if (channels === 1) return image[at] as number
  if (channels === 3) {
    return LUMA[0] * (image[at] as number) + LUMA[1] * (image[at + 1] as number) + LUMA[2] * (image[at + 2] as number)
  }
  let sum = 0
  for (let channel = 0; channel < channels; channel++) sum += image[at + channel] as number
  return sum / channels
}

/** Moves every value away from (f above 1) or towards `grey`. */
function blend(image: Float32Array, from: number, to: number, f: number, grey: number): void {
  const rest = (1 - f) * grey
  for (let at = from; at < to; at++) image[at] = clamped(f * (image[at] as number) + rest)
}

/** Changes the colours of one image, height × width × channels values of 0 to 1, and normalises it. */
function jitterColours(
  image: Float32Array,
  { mean, std }: Normalisation,
  { brightness = 0, contrast = 0, saturation = 0 }: Partial<ColourAugmentation>,
  random: Random,
): void {
  const channels = mean.length
  if (brightness > 0) blend(image, 0, image.length, factor(brightness, random), 0)
  if (contrast > 0) {
    let total = 0
    for (let at = 0; at < image.length; at += channels) total += greyAt(image, at, channels)
    blend(image, 0, image.length, factor(contrast, random), total / (image.length / channels))
  }
  if (saturation > 0) {
    const f = factor(saturation, random)
    for (let at = 0; at < image.length; at += channels) blend(image, at, at + channels, f, greyAt(image, at, channels))
  }
  for (let channel = 0; channel < channels; channel++) {
    const offset = mean[channel] as number
    const scale = 1 / (std[channel] as number)
    for (let at = channel; at < image.length; at += channels) image[at] = ((image[at] as number) - offset) * scale
  }
}

/** Where the cutout's middle is. */
function drawMiddle(height: number, width: number, random: Random): [row: number, column: number] {
  return [random.integer(height), random.integer(width)]
}

/** Draws what `jitterColours` would for one image, which somebody else makes. */
function skipColours({ brightness = 0, contrast = 0, saturation = 0 }: Partial<ColourAugmentation>, random: Random): void {
  for (const amount of [brightness, contrast, saturation]) if (amount > 0) factor(amount, random)
}

/** Cuts a square of `side` pixels out of one normalised image. */
function cutOut(image: Float32Array, [height, width, channels]: ImageShape, side: number, random: Random): void {
  const [row, column] = drawMiddle(height, width, random)
  const top = row - Math.floor(side / 2)
  const left = column - Math.floor(side / 2)
  const from = Math.max(0, left)
  const to = Math.min(width, left + side)
  for (let y = Math.max(0, top); y < Math.min(height, top + side); y++) {
    image.fill(0, (y * width + from) * channels, (y * width + to) * channels)
  }
}

export { type ColourAugmentation, cutOut, drawMiddle, drawsColours, jitterColours, needsThreeChannels, skipColours }
