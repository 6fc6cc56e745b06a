import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../../kernels/operations.ts'
import { dropoutMask } from '../dropout.ts'
import { type Gradients, type LayerRule, only, withBatch } from './rule.ts'

function masked(x: tf.Tensor4D, mask: tf.Tensor | undefined): tf.Tensor4D {
  return mask ? tf.mul(x, mask) : x
}

/** [inputs, outputs] as the filter of a 1×1 convolution. */
function asFilter(weights: tf.Tensor): tf.Tensor {
  return tf.reshape(weights, [1, 1, ...weights.shape])
}

/** [batch, h, w, c] as [batch, 1, 1, h*w*c]. */
function asVectors(x: tf.Tensor4D): tf.Tensor {
  return tf.reshape(x, [x.shape[0], 1, 1, x.size / x.shape[0]])
}

/** A 1×1 convolution of a 1×1 image: [batch, 1, 1, inputs] times [1, 1, inputs, outputs]. */
const linear: LayerRule<'linear'> = {
  forward({ layer }, inputs, { weights, dropout }) {
    const mask = dropout && dropoutMask(dropout, only(inputs).shape)
    const output = tf.tidy(() => {
      const { y } = kernels.conv2d(asVectors(masked(only(inputs), mask)), asFilter(weights.get(layer.weights)), 1)
      return tf.add(y, weights.get(layer.bias))
    })
    return { outputs: [output], ...(mask && { made: [mask] }) }
  },
  reverse({ step, inputs, made: [mask], dy, wantInput, wantWeights, context }) {
    const { layer } = step
    const weights = context.weights.get(layer.weights)
    const inputShape = withBatch(dy, step.inputShapes[0])
    const batch = dy.shape[0] as number
    const size = inputShape.slice(1).reduce((product, length) => product * length, 1)
    const gradients: { dx?: tf.Tensor; dweights?: tf.Tensor; dbias?: tf.Tensor } = tf.tidy(() => {
      const { dx, dfilter } = kernels.conv2dGradient({
        ...(wantWeights && { x: asVectors(masked(only(inputs), mask)) }),
        inputShape: [batch, 1, 1, size],
        filter: asFilter(weights),
        stride: 1,
        dy,
        wantInput,
        wantFilter: wantWeights,
      })
      return {
        ...(dx && { dx: masked(tf.reshape(dx, inputShape as [number, number, number, number]), mask) }),
        ...(dfilter && { dweights: tf.reshape(dfilter, weights.shape), dbias: tf.sum(dy, [0, 1, 2]) }),
      }
    })
    const { dx, dweights, dbias } = gradients
    return {
      inputs: [dx],
      weights: dweights && dbias ? [[layer.weights, dweights] as const, [layer.bias, dbias] as const] : [],
    } satisfies Gradients
  },
  readsInputs: (_step, wantWeights) => wantWeights,
  prepare({ constants, shape }) {
    const outputs = shape[2]
    const weights = tf.keep(tf.tensor2d(constants.weights.slice(), [constants.weights.length / outputs, outputs]))
    const bias = tf.keep(tf.tensor1d(constants.bias.slice()))
    const run = (inputs: readonly tf.Tensor4D[]) => {
      const x = only(inputs)
      const rows: tf.Tensor2D = tf.reshape(x, [x.shape[0], x.size / x.shape[0]])
      return tf.reshape<tf.Rank.R4>(tf.fused.matMul({ a: rows, b: weights, bias }), [x.shape[0], 1, 1, outputs])
    }
    return { owned: [weights, bias], run }
  },
}

export { linear }
