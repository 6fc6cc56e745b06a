// Weights and their gradients of the mean cross-entropy over the mini-batch: what most scores are made of.

import { trainStep, type Weights } from '../executor/index.ts'
import type { ScoredNetwork } from './score.ts'

/** Weight and gradient, by key. Weights that no gradient reaches, those of dead branches, are left out. */
type LossGradients = ReadonlyMap<string, readonly [weight: Float32Array, gradient: Float32Array]>

/** At other weights than the network's own, if they are given. */
async function gradientsAt({ graph, keys, images, labels }: ScoredNetwork, weights: Weights): Promise<LossGradients> {
  const { gradients } = await trainStep({ graph, weights, images, labels })
  try {
    const read = new Map<string, readonly [Float32Array, Float32Array]>()
    for (const key of keys) {
      const gradient = gradients.get(key)
      if (gradient) read.set(key, [await weights.read(key), (await gradient.data<'float32'>()).slice()])
    }
    return read
  } finally {
    for (const gradient of gradients.values()) gradient.dispose()
  }
}

function lossGradients(network: ScoredNetwork): Promise<LossGradients> {
  return network.shared('loss gradients', () => gradientsAt(network, network.weights))
}

export { gradientsAt, type LossGradients, lossGradients }
