// The exponential moving average of weights (Polyak and Juditsky 1992 for averages of iterates; the form that decays is
// customary for mobile networks):
//   a ← d a + (1 − d) w,   d = min(decay, (1 + t) / (10 + t))
// after step t = 0, 1, …: the first steps count for little later on, so that a short training has a good average as well.

import * as tf from '@tensorflow/tfjs-core'
import type { Backend } from '../backends/backends.ts'
import { createWeights, type Weights } from '../executor/index.ts'

type MovingAverage = {
  /** The average, as weights that a network can run with. */
  readonly weights: Weights
  /** Takes the weights in as they are after step `step`, counted from 0. */
  update(step: number): void
  dispose(): void
}

/** Decay at step t. */
function decayAt(decay: number, step: number): number {
  return Math.min(decay, (1 + step) / (10 + step))
}

/** Averages `keys` of `current`, from its values of now on. */
async function createMovingAverage(backend: Backend, current: Weights, keys: readonly string[], decay: number): Promise<MovingAverage> {
  const weights = createWeights(backend, [...current.specs.values()], 0)
  for (const key of keys) weights.write(key, await current.read(key))
  return {
    weights,
    update(step) {
      const d = decayAt(decay, step)
      for (const key of keys) {
        weights.replace(
          key,
          tf.tidy(() => tf.add(tf.mul(weights.get(key), d), tf.mul(current.get(key), 1 - d))),
        )
      }
    },
    dispose: () => weights.dispose(),
  }
}

export { createMovingAverage, type MovingAverage }
