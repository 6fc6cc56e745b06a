// Random erasing (Zhong et al. 2020), with the settings of torchvision's RandomErasing: a rectangle whose area is uniform in 2 % to 33 % of
// the image's, whose height to width is from 0.3 to 3.3, uniform in its logarithm, becomes 0 after normalisation, the mean colour. After ten
// draws that do not fit into the image, nothing is erased.

import type { Random } from '../../search-space/random.ts'
import type { ImageShape } from './dataset.ts'

type Rectangle = { readonly top: number; readonly left: number; readonly height: number; readonly width: number }

const ATTEMPTS = 10
const [LEAST_AREA, MOST_AREA] = [0.02, 0.33]
const [LEAST_RATIO, MOST_RATIO] = [0.3, 3.3]

/** Null: this image stays whole. */
function drawErased([height, width]: ImageShape, probability: number, random: Random): Rectangle | null {
  if (random.uniform() >= probability) return null
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const area = height * width * (LEAST_AREA + (MOST_AREA - LEAST_AREA) * random.uniform())
    const ratio = LEAST_RATIO * (MOST_RATIO / LEAST_RATIO) ** random.uniform()
    const [tall, wide] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))]
    if (tall >= height || wide >= width) continue
    return { top: random.integer(height - tall + 1), left: random.integer(width - wide + 1), height: tall, width: wide }
  }
  return null
}

/** One normalised image, in place. */
function erase(image: Float32Array, [, width, channels]: ImageShape, { top, left, height, width: wide }: Rectangle): void {
  for (let y = top; y < top + height; y++) image.fill(0, (y * width + left) * channels, (y * width + left + wide) * channels)
}

export { drawErased, erase, type Rectangle }
