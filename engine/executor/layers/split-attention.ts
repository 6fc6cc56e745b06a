// y = Σ_i a_i x_i with a = softmax over i of z_i, channel by channel (search-space/layers/split-attention.ts). With the sums s_i of x_i · dy over
// positions,
//
//   dx_i = a_i dy,   dz_i = a_i (s_i − Σ_j a_j s_j)

import * as tf from '@tensorflow/tfjs-core'

import { scaleChannels, scaleGradient, sum } from '../../kernels/operations.ts'
import type { LayerRule } from './rule.ts'

/** Images and logits. */
function halves(inputs: readonly tf.Tensor[]): { images: readonly tf.Tensor[]; logits: readonly tf.Tensor[] } {
  return { images: inputs.slice(0, inputs.length / 2), logits: inputs.slice(inputs.length / 2) }
}

/** [1, 1, channels] each; numbers of any size. */
function softmaxOver(logits: readonly tf.Tensor[]): tf.Tensor4D[] {
  const most = logits.reduce((a, b) => tf.maximum(a, b))
  const powers = logits.map((logit) => tf.exp(tf.sub(logit, most)))
  const total = powers.reduce((a, b) => tf.add(a, b))
  return powers.map((power) => tf.div(power, total))
}

const splitAttention: LayerRule<'splitAttention'> = {
  forward(_step, inputs) {
    const { images, logits } = halves(inputs)
    const [output, ...attention] = tf.tidy(() => {
      const shares = softmaxOver(logits)
      return [images.map((image, i) => scaleChannels(image, shares[i] as tf.Tensor)).reduce((a, b) => sum(a, b)), ...shares]
    }) as [tf.Tensor4D, ...tf.Tensor4D[]]
    return { outputs: [output], made: attention }
  },
  reverse({ inputs, made: shares, dy }) {
    const { images } = halves(inputs)
    const gradients = tf.tidy(() => {
      const sums = images.map((image) => scaleGradient(image, dy))
      const mean = sums.map((own, i): tf.Tensor => tf.mul(own, shares[i] as tf.Tensor)).reduce((a, b) => tf.add(a, b))
      const dlogits = sums.map((own, i) => tf.mul(shares[i] as tf.Tensor, tf.sub(own, mean)))
      return [...shares.map((share) => scaleChannels(dy, share)), ...dlogits]
    })
    return { inputs: gradients }
  },
  readsInputs: () => true,
  prepare: () => ({
    run(inputs) {
      const { images, logits } = halves(inputs)
      const shares = softmaxOver(logits)
      return images.map((image, i): tf.Tensor => tf.mul(image, shares[i] as tf.Tensor)).reduce((a, b) => tf.add(a, b)) as tf.Tensor4D
    },
  }),
}

export { splitAttention }
