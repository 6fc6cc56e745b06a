// Which part of an image becomes the network's input.
//
// Training: a random part (Szegedy et al., "Going deeper with convolutions", 2015, section 6), of an area uniform between
// `minArea` and the whole, of a width to height between 3:4 and 4:3, uniform in its logarithm. Evaluation: the centre that
// remains when the image is scaled so that it covers 256/224 of the input and is then cut to the input.

import type { Random } from '../../search-space/random.ts'

/** In pixels of the image as it is looked at. */
type CropBox = { left: number; top: number; width: number; height: number }
type Size = { width: number; height: number }

const LOWEST_RATIO = 3 / 4
const HIGHEST_RATIO = 4 / 3
/** Long images have no part of many of the drawn shapes; after this many draws it is the largest allowed part at the centre. */
const ATTEMPTS = 10
/** What evaluation keeps of the side that covers the input: 224 of 256. */
const EVALUATION_SHARE = 224 / 256

function centred(image: Size, width: number, height: number): CropBox {
  const box = {
    width: Math.max(1, Math.min(image.width, Math.round(width))),
    height: Math.max(1, Math.min(image.height, Math.round(height))),
  }
  return { left: (image.width - box.width) >> 1, top: (image.height - box.height) >> 1, ...box }
}

/** Draws area and ratio up to ten times, then left and top: the same for the same state of `random`. */
function randomBox(image: Size, minArea: number, random: Random): CropBox {
  const area = image.width * image.height
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const wanted = area * (minArea + (1 - minArea) * random.uniform())
    const ratio = LOWEST_RATIO * (HIGHEST_RATIO / LOWEST_RATIO) ** random.uniform()
    const width = Math.round(Math.sqrt(wanted * ratio))
    const height = Math.round(Math.sqrt(wanted / ratio))
    if (width < 1 || height < 1 || width > image.width || height > image.height) continue
    return { left: random.integer(image.width - width + 1), top: random.integer(image.height - height + 1), width, height }
  }
  return centred(image, Math.min(image.width, image.height * HIGHEST_RATIO), Math.min(image.height, image.width / LOWEST_RATIO))
}

/** The largest part of the input's shape, in the middle; `share` of it in each direction. */
function coverBox(image: Size, input: Size, share: number): CropBox {
  const scale = Math.min(image.width / input.width, image.height / input.height) * share
  return centred(image, input.width * scale, input.height * scale)
}

export { coverBox, type CropBox, EVALUATION_SHARE, randomBox, type Size }
