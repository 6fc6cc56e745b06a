// Gradient of `same`-padded average pooling, where border windows average over fewer elements. TensorFlow.js's own
// AvgPoolGrad divides by the full window everywhere, so it is composed: dx = transpose-convolve(dy / count, ones).

import * as tf from '@tensorflow/tfjs-core'

import type { PoolStep } from './plan.ts'

/** How many elements of the input each output position along one axis averages over. */
function windowCounts(input: number, output: number, kernel: number, stride: number): number[] {
  const padding = Math.max(0, (output - 1) * stride + kernel - input)
  const before = Math.floor(padding / 2)
  return Array.from({ length: output }, (_, position) => {
    const start = position * stride - before
    return Math.min(start + kernel, input) - Math.max(start, 0)
  })
}

function averagePoolGradient(step: PoolStep, dy: tf.Tensor): tf.Tensor4D {
  const { kernel, stride, shape } = step
  const [height = 1, width = 1, channels = 1] = step.inputShapes[0] ?? []
  const rows = windowCounts(height, shape[0], kernel, stride)
  const columns = windowCounts(width, shape[1], kernel, stride)
  return tf.tidy(() => {
    const shares = rows.flatMap((row) => columns.map((column) => 1 / (row * column)))
    const scaled = tf.mul(dy, tf.tensor4d(shares, [1, shape[0], shape[1], 1]))
    const ones = tf.ones([kernel, kernel, channels, 1])
    const inputShape = [dy.shape[0] as number, height, width, channels]
    const attributes = { inputShape, strides: [stride, stride], pad: 'same', dilations: [1, 1] }
    return tf.engine().runKernel(tf.DepthwiseConv2dNativeBackpropInput, { dy: scaled, filter: ones }, attributes) as tf.Tensor4D
  })
}

export { averagePoolGradient }
