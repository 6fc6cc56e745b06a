// Seconds of one training step of a network on the mini-batch: what a score's time is to be held against.

import { createSgd, trainStep } from '../executor/index.ts'
import { type Candidate, withNetwork } from './network.ts'

/** Nothing but the time depends on these. */
const SGD = { momentum: 0.9, nesterov: true, weightDecay: 1e-4 } as const
const RATE = 0.01

async function stepSeconds(candidate: Candidate): Promise<number> {
  const { images, labels } = candidate
  return withNetwork(candidate, async ({ graph, weights, timed }) => {
    const optimiser = createSgd(SGD)
    // Weights are made when they are first asked for: no part of a step.
    for (const key of weights.specs.keys()) weights.get(key)
    const { seconds } = await timed(async () => {
      const { gradients } = await trainStep({ graph, weights, images, labels })
      optimiser.apply(weights, gradients, RATE)
    })
    optimiser.clear()
    return seconds
  })
}

export { stepSeconds }
