// How much the loss would feel the removal of a channel (Theis et al. 2018; Turner et al. 2020, BlockSwap, equation 3). Of a convolution
// or linear layer with outputs a [n, positions, k]:
//   s_nk = Σ_positions a · ∂L/∂a,   Δ_k = ½ · mean_n s_nk²,   score = Σ_layers Σ_k Δ_k · (weights of output channel k)

import * as tf from '@tensorflow/tfjs-core'
import { layerWeights } from '../../search-space/index.ts'
import { type Collected, collectGradients } from '../executor/index.ts'
import type { Score } from './score.ts'

/** Weights of one output channel; 0 for a layer without filter or matrix. */
function weightsPerChannel({ layer, inputShapes, shape }: Collected['step']): number {
  const weights = Object.values(layerWeights(layer, inputShapes)).filter(({ decay }) => decay)
  return weights.reduce((sum, spec) => sum + spec.shape.reduce((product, size) => product * size, 1), 0) / shape[2]
}

const fisher: Score = async (network) => {
  const found = await collectGradients(
    network,
    (step) => weightsPerChannel(step) > 0,
    (_, output, gradient) => tf.sum(tf.mul(output, gradient), [1, 2]),
  )
  const images = network.labels.length
  let sum = 0
  for (const { step, values } of found) {
    const squares = values.reduce((total, value) => total + value * value, 0)
    sum += (0.5 * squares * weightsPerChannel(step)) / images
  }
  return sum
}

export { fisher }
