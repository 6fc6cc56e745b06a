// The loss of a student that learns from labels and from a teacher (Hinton, Vinyals and Dean 2015, section 2):
//   p = softmax(teacher / T),  q = softmax(logits / T)
//   loss = (1 - w) * cross-entropy(labels) + w * T² * mean_i -sum_c p log q
// T² keeps the soft part's gradients, which shrink with 1/T², as large as those of the labels. The soft part is a
// cross-entropy, not a divergence: even a perfect student has the teacher's entropy left.

import * as tf from '@tensorflow/tfjs-core'

type Distillation = {
  /** [batch, classes], before the softmax; stays the caller's. */
  readonly teacherLogits: tf.Tensor2D
  /** T, above 0. */
  readonly temperature: number
  /** w, from 0 to 1. */
  readonly weight: number
}

/** What the labels alone give: [mean loss, correct], and the gradient of that loss. */
type LabelLoss = { readonly metrics: tf.Tensor1D; readonly dlogits: tf.Tensor2D }

/** Mixes the teacher's part into the loss and its gradient; to be called within tf.tidy. */
function distil(logits: tf.Tensor, labels: LabelLoss, { teacherLogits, temperature, weight }: Distillation): LabelLoss {
  const batch = logits.shape[0] as number
  const targets = tf.softmax(tf.div(teacherLogits, temperature))
  const scaled = tf.div(logits, temperature)
  const shifted = tf.sub(scaled, tf.max(scaled, 1, true))
  const logProbabilities = tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), 1, true)))
  const softLoss = tf.mul(tf.sum(tf.mul(targets, logProbabilities)), (-weight * temperature ** 2) / batch)
  // d(softLoss)/dlogits: T² for the scale, 1/T for the inner derivative.
  const dSoft = tf.mul(tf.sub(tf.exp(logProbabilities), targets), (weight * temperature) / batch)
  const metrics = tf.add(tf.mul(labels.metrics, tf.tensor1d([1 - weight, 1])), tf.mul(softLoss, tf.tensor1d([1, 0])))
  return { metrics: metrics as tf.Tensor1D, dlogits: tf.add(tf.mul(labels.dlogits, 1 - weight), dSoft) }
}

export { distil, type Distillation }
