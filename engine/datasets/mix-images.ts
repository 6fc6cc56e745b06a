// Images of a mini-batch mixed in pairs, image i of B with image B − 1 − i, in the form that timm gives them (timm.data.Mixup, mode `batch`):
//
//   Mixup (Zhang et al. 2018):   x ← λ x_i + (1 − λ) x_j,  λ ~ Beta(α, α), one for the mini-batch
//   CutMix (Yun et al. 2019):    a rectangle of √(1 − λ) of the height and of the width, its middle anywhere, comes from x_j; λ is then the
//                                share of the area that is left of x_i
//
// The target is λ · (label of i) + (1 − λ) · (label of j). Where both are on, each mini-batch gets one of them, with probability ½.

import type { Random } from '../../search-space/random.ts'
import type { ImageShape } from './dataset.ts'

/** α of the two; 0 turns one off. */
type MixSettings = { readonly mixup?: number | undefined; readonly cutmix?: number | undefined }

type Box = { readonly top: number; readonly bottom: number; readonly left: number; readonly right: number }

/** `share`: of an image itself; the rest is of its partner. With a box, what is in the box is of the partner. */
type Mix = { readonly share: number; readonly box: Box | null }

const SWITCH_PROBABILITY = 0.5

/** Gamma of shape `a` and scale 1 (Marsaglia and Tsang 2000); below 1 by Gamma(a + 1) · U^(1/a), their section 6. */
function drawGamma(a: number, random: Random): number {
  if (a < 1) return drawGamma(a + 1, random) * (1 - random.uniform()) ** (1 / a)
  const d = a - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = random.normal()
    const v = (1 + c * x) ** 3
    // Accepted at once in more than 95 of 100 cases, for every a.
    if (v > 0 && Math.log(1 - random.uniform()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v
  }
}

function drawBeta(alpha: number, random: Random): number {
  const one = drawGamma(alpha, random)
  const other = drawGamma(alpha, random)
  // Both may be 0 in float64 where α is tiny: either end is as likely.
  return one + other > 0 ? one / (one + other) : Math.round(random.uniform())
}

function drawBox(share: number, [height, width]: ImageShape, random: Random): Box {
  const side = Math.sqrt(1 - share)
  const [tall, wide] = [Math.floor(height * side), Math.floor(width * side)]
  const [row, column] = [random.integer(height), random.integer(width)]
  const clip = (value: number, size: number) => Math.min(Math.max(value, 0), size)
  return {
    top: clip(row - Math.floor(tall / 2), height),
    bottom: clip(row + Math.floor(tall / 2), height),
    left: clip(column - Math.floor(wide / 2), width),
    right: clip(column + Math.floor(wide / 2), width),
  }
}

function isMixed({ mixup = 0, cutmix = 0 }: MixSettings): boolean {
  return mixup > 0 || cutmix > 0
}

/** What happens to a mini-batch; null where both are off. */
function drawMix(settings: MixSettings, shape: ImageShape, random: Random): Mix | null {
  const { mixup = 0, cutmix = 0 } = settings
  if (!isMixed(settings)) return null
  const isCut = cutmix > 0 && (mixup <= 0 || random.uniform() < SWITCH_PROBABILITY)
  const share = drawBeta(isCut ? cutmix : mixup, random)
  if (!isCut) return { share, box: null }
  const box = drawBox(share, shape, random)
  const [height, width] = shape
  return { share: 1 - ((box.bottom - box.top) * (box.right - box.left)) / (height * width), box }
}

/** Mixes each image, in place, with that of its place counted from the end of `partners`, which is another array. */
function mixImages(
  images: Float32Array,
  partners: Float32Array,
  count: number,
  [height, width, channels]: ImageShape,
  { share, box }: Mix,
): void {
  const values = height * width * channels
  for (let image = 0; image < count; image++) {
    const own = images.subarray(image * values, (image + 1) * values)
    const other = partners.subarray((count - 1 - image) * values, (count - image) * values)
    if (box === null) {
      for (let at = 0; at < values; at++) own[at] = share * (own[at] as number) + (1 - share) * (other[at] as number)
      continue
    }
    for (let y = box.top; y < box.bottom; y++) {
      const [from, to] = [(y * width + box.left) * channels, (y * width + box.right) * channels]
      own.set(other.subarray(from, to), from)
    }
  }
}

export { drawBeta, drawMix, isMixed, type Mix, mixImages, type MixSettings }
