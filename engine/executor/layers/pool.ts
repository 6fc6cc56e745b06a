// Pooling with the same padding on every side, which counts neither in maxima nor in averages (search-space/layers/pool.ts).
// TensorFlow.js's own AvgPoolGrad divides by the full window at the border too, so the gradient of averages is composed:
//   dx = transpose-convolve(dy / count, ones)

import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf } from '../../../search-space/layer-graph.ts'
import { poolPadding } from '../../../search-space/layers/pool.ts'
import type { LayerStep } from '../step.ts'
import { type LayerRule, only } from './rule.ts'

function runPool(layer: LayerOf<'pool'>, x: tf.Tensor4D): tf.Tensor4D {
  const operation = layer.mode === 'max' ? tf.maxPool : tf.avgPool
  return operation(x, layer.kernel, layer.stride, poolPadding(layer), 'floor')
}

/** How many elements of the input each output position along one axis averages over. */
function windowCounts(input: number, output: number, kernel: number, stride: number, padding: number): number[] {
  return Array.from({ length: output }, (_, position) => {
    const start = position * stride - padding
    return Math.min(start + kernel, input) - Math.max(start, 0)
  })
}

function averageGradient({ layer, shape, inputShapes }: LayerStep<'pool'>, dy: tf.Tensor): tf.Tensor {
  const { kernel, stride } = layer
  const [height = 1, width = 1, channels = 1] = inputShapes[0] ?? []
  const padding = poolPadding(layer)
  const rows = windowCounts(height, shape[0], kernel, stride, padding)
  const columns = windowCounts(width, shape[1], kernel, stride, padding)
  return tf.tidy(() => {
    const shares = rows.flatMap((row) => columns.map((column) => 1 / (row * column)))
    const scaled = tf.mul(dy, tf.tensor4d(shares, [1, shape[0], shape[1], 1]))
    const ones = tf.ones([kernel, kernel, channels, 1])
    const inputShape = [dy.shape[0] as number, height, width, channels]
    const attributes = { inputShape, strides: [stride, stride], pad: padding, dimRoundingMode: 'floor', dilations: [1, 1] }
    return tf.engine().runKernel(tf.DepthwiseConv2dNativeBackpropInput, { dy: scaled, filter: ones }, attributes) as tf.Tensor
  })
}

const pool: LayerRule<'pool'> = {
  forward: ({ layer }, inputs) => ({ outputs: [runPool(layer, only(inputs))] }),
  reverse({ step, inputs, output, dy }) {
    const { layer } = step
    if (layer.mode === 'average') return { inputs: [averageGradient(step, dy)] }
    const given = { dy, input: only(inputs), output: output as tf.Tensor }
    const { kernel, stride } = layer
    const attributes = { filterSize: [kernel, kernel], strides: [stride, stride], pad: poolPadding(layer), dimRoundingMode: 'floor' }
    return { inputs: [tf.engine().runKernel(tf.MaxPoolGrad, given, attributes) as tf.Tensor] }
  },
  readsInputs: ({ layer }) => layer.mode === 'max',
  readsOutput: ({ layer }) => layer.mode === 'max',
  prepare: ({ layer }) => ({ run: (inputs) => runPool(layer, only(inputs)) }),
}

export { pool }
