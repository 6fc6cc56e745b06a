// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), in the form of PyTorch's torch.optim.AdamW:
//   w ← w (1 − rate · weightDecay)                where the weight's spec says so
//   m ← β1 m + (1 − β1) g,   v ← β2 v + (1 − β2) g²
//   w ← w − rate · (m / (1 − β1^t)) / (√(v / (1 − β2^t)) + ε)
// with t = 1 in the first step. Takes whole weights only, and every one in each step.

import * as tf from '@tensorflow/tfjs-core'
import { createMoments, type Optimiser } from './optimiser.ts'

type AdamWOptions = {
  /** In [0, 1). */
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
}

function createAdamW({ beta1, beta2, epsilon, weightDecay }: AdamWOptions): Optimiser {
  const means = createMoments()
  const squares = createMoments()
  return {
    apply(weights, gradients, rate, step) {
      const meanCorrection = 1 - beta1 ** (step + 1)
      const squareCorrection = 1 - beta2 ** (step + 1)
      for (const [key, gradient] of gradients) {
        const weight = weights.get(key)
        const decay = weights.spec(key).decay ? weightDecay : 0
        const [next, mean, square] = tf.tidy(() => {
          const m = tf.add(tf.mul(means.of(key, weight.shape), beta1), tf.mul(gradient, 1 - beta1))
          const v = tf.add(tf.mul(squares.of(key, weight.shape), beta2), tf.mul(tf.square(gradient), 1 - beta2))
          const root = tf.add(tf.sqrt(tf.div(v, squareCorrection)), epsilon)
          const moved = tf.sub(tf.mul(weight, 1 - rate * decay), tf.div(tf.mul(m, rate / meanCorrection), root))
          return [moved, m, v]
        }) as [tf.Tensor, tf.Tensor, tf.Tensor]
        gradient.dispose()
        means.set(key, mean)
        squares.set(key, square)
        weights.replace(key, next)
      }
    },
    moments: { velocities: means, squares },
    dispose() {
      means.clear()
      squares.clear()
    },
  }
}

export { type AdamWOptions, createAdamW }
