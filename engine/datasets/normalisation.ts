// Mean and standard deviation of each channel over all pixels of a split, values scaled to 0..1. Taken from histograms,
// so that every sum is of integers below 2^53 and every machine gets the very same figures.

import type { Normalisation, Split } from './dataset.ts'
import { bitsOfPixels, largestValue } from './pixels.ts'

/** A channel of one colour has no spread; dividing by one leaves it at zero. */
const STD_OF_CONSTANT_CHANNEL = 1

function normalisationOf({ shape, images }: Split): Normalisation {
  const channels = shape[2]
  const largest = largestValue(bitsOfPixels(images))
  const levels = largest + 1
  const histogram = new Float64Array(levels * channels)
  for (let at = 0; at < images.length;) {
    for (let channel = 0; channel < channels; channel++, at++) {
      const bin = channel * levels + (images[at] as number)
      histogram[bin] = (histogram[bin] as number) + 1
    }
  }
  const pixels = images.length / channels
  const normalisation: Normalisation = { mean: [], std: [] }
  for (let channel = 0; channel < channels; channel++) {
    const bins = histogram.subarray(channel * levels, (channel + 1) * levels)
    const mean = bins.reduce((sum, count, value) => sum + count * value, 0) / pixels
    const variance = bins.reduce((sum, count, value) => sum + count * (value - mean) ** 2, 0) / pixels
    normalisation.mean.push(mean / largest)
    normalisation.std.push(variance > 0 ? Math.sqrt(variance) / largest : STD_OF_CONSTANT_CHANNEL)
  }
  return normalisation
}

export { normalisationOf }
