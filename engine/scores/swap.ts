// How many different patterns the units of a network have over the images of a mini-batch (Peng et al. 2024, "SWAP-NAS: Sample-Wise
// Activation Patterns for Ultra-fast NAS", definition 3.2). A unit is one value of a rectifier's output for one image.

import * as tf from '@tensorflow/tfjs-core'
import { collectPatterns } from './activation-patterns.ts'
import { countDistinct } from './count-distinct.ts'
import type { Score } from './score.ts'

/** Images whose bits are one whole number that float32 holds. */
const BITS = 24

const swap: Score = async (network) => {
  const batch = network.labels.length
  const words = Math.ceil(batch / BITS)
  // [words, batch]: the value of each image's bit in its word.
  const places = Float32Array.from({ length: words * batch }, (_, i) =>
    Math.floor((i % batch) / BITS) === Math.floor(i / batch) ? 2 ** ((i % batch) % BITS) : 0,
  )
  const layers = await collectPatterns(network, (pattern) => tf.matMul(tf.tensor2d(places, [words, batch]), pattern))
  const units = layers.reduce((sum, values) => sum + values.length / words, 0)
  const rows = new Uint32Array(units * words)
  let at = 0
  for (const values of layers) {
    const count = values.length / words
    for (let unit = 0; unit < count; unit++) for (let word = 0; word < words; word++) rows[at++] = values[word * count + unit] as number
  }
  return countDistinct(rows, words)
}

export { swap }
