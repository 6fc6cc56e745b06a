// How well the rectifiers of a network tell images apart (Mellor et al. 2021, "Neural Architecture Search without Training", section 3).
// With a pattern x of 0 and 1 for each image at every rectifier:
//   K = Σ x xᵀ + (1 − x)(1 − x)ᵀ,   score = ln |det K|

import * as tf from '@tensorflow/tfjs-core'
import { collectPatterns } from './activation-patterns.ts'
import { logDeterminant } from './log-determinant.ts'
import type { Score } from './score.ts'

/** Null where two images have the same pattern: K is singular then. */
const naswot: Score = async (network) => {
  const batch = network.labels.length
  const kernel = new Float64Array(batch * batch)
  // float32 holds counts up to 2^24 without rounding: layers of 16 million units.
  const agreements = await collectPatterns(network, (pattern) => {
    // x·y + (1 − x)·(1 − y) = n + 2 x·y − Σx − Σy. Transposed beforehand: the product of a transposed matrix is slow on wasm.
    const both = tf.matMul(pattern, tf.transpose(pattern))
    const on = tf.sum(pattern, 1, true)
    return tf.add(tf.sub(tf.sub(tf.mul(both, 2), on), tf.transpose(on)), pattern.shape[1])
  })
  for (const counts of agreements) for (const [i, count] of counts.entries()) kernel[i] = (kernel[i] as number) + count
  const score = logDeterminant(kernel, batch)
  return score === Number.NEGATIVE_INFINITY ? null : score
}

export { naswot }
