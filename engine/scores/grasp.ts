// Σ −W · (H g), g the gradient of the loss and H its second derivative (Wang, Zhang and Grosse 2020, GraSP, equation 8; sign as in the
// code of Abdelfattah et al. 2021, where more is better).
//
// H is symmetric, so the sum is −g · (H W), and H W the change of the gradient along the weights:
//   H W = (∇L((1 + ε) W) − ∇L((1 − ε) W)) / 2ε + O(ε²)
// A difference across the bend of a ReLU is not of H, and steps along g cross many. Weights that grow and shrink together change no sign
// behind a batch-norm; what is left are sums of normalised and plain convolutions, as in NAS-Bench-201's residual blocks.

import * as tf from '@tensorflow/tfjs-core'
import type { Weights } from '../executor/index.ts'
import { gradientsAt, lossGradients } from './loss-gradients.ts'
import type { Score, ScoredNetwork } from './score.ts'
import { sumOver } from './sums.ts'

/** ε: of the sum, what rounding of float32 gradients and leaving ε² out change is below 1e-3 then, and mostly below 1e-4. */
const STEP = 1 / 128

/** The network's weights with filters and matrices `factor` times themselves; everything else as it is. */
async function withScaled<T>({ weights, keys }: ScoredNetwork, factor: number, body: (scaled: Weights) => Promise<T>): Promise<T> {
  const scaled = new Map(keys.map((key) => [key, tf.mul(weights.get(key), factor)]))
  try {
    return await body({
      ...weights,
      get: (key) => scaled.get(key) ?? weights.get(key),
    })
  } finally {
    for (const tensor of scaled.values()) tensor.dispose()
  }
}

const grasp: Score = async (network) => {
  const gradients = await lossGradients(network)
  const gradientsTimes = (factor: number) => withScaled(network, factor, (weights) => gradientsAt(network, weights))
  const longer = await gradientsTimes(1 + STEP)
  const shorter = await gradientsTimes(1 - STEP)
  let sum = 0
  for (const [key, [, gradient]] of gradients) {
    const [, above] = longer.get(key) ?? []
    const [, below] = shorter.get(key) ?? []
    if (above && below) sum += sumOver([[gradient, above]], (g, a) => g * a) - sumOver([[gradient, below]], (g, b) => g * b)
  }
  return -sum / (2 * STEP)
}

export { grasp }
