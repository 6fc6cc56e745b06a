import * as tf from '@tensorflow/tfjs-core'

import type { LayerStep } from '../step.ts'
import { scaleChannels, scaleGradient } from '../../kernels/operations.ts'
import type { LayerRule } from './rule.ts'

/** Whether the second input is a number for each channel of a larger image. */
function isScale({ inputShapes: [image, factor] }: Pick<LayerStep<'multiply'>, 'inputShapes'>): boolean {
  return image?.[0] !== factor?.[0] || image?.[1] !== factor?.[1]
}

const multiply: LayerRule<'multiply'> = {
  forward(step, [a, b]) {
    return { outputs: [isScale(step) ? scaleChannels(a as tf.Tensor, b as tf.Tensor) : tf.mul(a as tf.Tensor, b as tf.Tensor)] }
  },
  reverse({ step, inputs: [a, b], dy }) {
    if (isScale(step)) return { inputs: [scaleChannels(dy, b as tf.Tensor), scaleGradient(a as tf.Tensor, dy)] }
    return { inputs: [tf.mul(dy, b as tf.Tensor), tf.mul(dy, a as tf.Tensor)] }
  },
  readsInputs: () => true,
  prepare: () => ({ run: ([a, b]) => tf.mul(a as tf.Tensor4D, b as tf.Tensor4D) }),
}

export { multiply }
