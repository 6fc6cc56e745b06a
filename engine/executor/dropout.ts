// Inverted dropout (Srivastava et al. 2014, section 10) on what the classifier reads: each value is 0 with probability
// `rate`, and otherwise 1 / (1 - rate) times itself, so that evaluation needs no scaling.

import * as tf from '@tensorflow/tfjs-core'

import type { Random } from '../../search-space/random.ts'

type Dropout = {
  /** In [0, 1). */
  readonly rate: number
  /** Seeded by whoever wants the same masks again; one draw per value. */
  readonly random: Random
}

/** A mask to multiply with; the caller's to dispose. */
function dropoutMask({ rate, random }: Dropout, shape: readonly number[]): tf.Tensor {
  const kept = 1 / (1 - rate)
  const size = shape.reduce((product, length) => product * length, 1)
  const values = Float32Array.from({ length: size }, () => (random.uniform() < rate ? 0 : kept))
  return tf.tensor(values, [...shape], 'float32')
}

export { type Dropout, dropoutMask }
