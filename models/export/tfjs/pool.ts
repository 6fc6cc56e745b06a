import type { InferenceStep } from '../../../engine/executor/index.ts'
import { poolPadding } from '../../../search-space/layers/pool.ts'
import { refuseLayer } from '../../../search-space/layers/refusal.ts'
import { FORMAT, type TfjsRule } from './rule.ts'

/** Zeros in front that TensorFlow's `same` gives `size` values; those behind are cut off or never reached. */
function samePadding(size: number, kernel: number, stride: number): number {
  return Math.floor(Math.max(0, (Math.ceil(size / stride) - 1) * stride + kernel - size) / 2)
}

/** Whether TensorFlow's `same` pads a pooling as it is padded here. */
function isSamePadding({ layer, inputShapes, shape }: InferenceStep<'pool'>): boolean {
  const { kernel, stride } = layer
  const padding = poolPadding(layer)
  return (inputShapes[0] ?? shape).every(
    (size, axis) => axis === 2 || (shape[axis] === Math.ceil(size / stride) && padding === samePadding(size, kernel, stride)),
  )
}

/**
 * The padding of a pooling counts neither in maxima nor in averages, so no layer of zeros can stand for it: it must be what Keras
 * makes by itself.
 */
const pool: TfjsRule<'pool'> = {
  write(step, writer) {
    const { kernel, stride, mode } = step.layer
    const padding = poolPadding(step.layer)
    if (padding > 0 && !isSamePadding(step)) {
      refuseLayer(step, FORMAT, `it cannot pad a pooling of ${kernel}×${kernel} and stride ${stride} by ${padding} on every side here`)
    }
    writer.layer(mode === 'max' ? 'MaxPooling2D' : 'AveragePooling2D', writer.nameOf(step.id), writer.images(step), {
      pool_size: [kernel, kernel],
      strides: [stride, stride],
      padding: padding > 0 ? 'same' : 'valid',
      data_format: 'channels_last',
    })
  },
}

export { isSamePadding, pool }
