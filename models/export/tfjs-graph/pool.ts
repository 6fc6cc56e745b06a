import { poolPadding } from '../../../search-space/layers/pool.ts'
import { refuseLayer } from '../../../search-space/layers/refusal.ts'
import { isSamePadding } from '../tfjs/pool.ts'
import { FORMAT, type GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

/** TensorFlow.js's graphs have no explicit padding for pooling, so it must be what `same` gives. */
const pool: GraphRule<'pool'> = {
  write(step, writer) {
    const { kernel, stride, mode } = step.layer
    const padding = poolPadding(step.layer)
    if (padding > 0 && !isSamePadding(step)) {
      refuseLayer(step, FORMAT, `they cannot pad a pooling of ${kernel}×${kernel} and stride ${stride} by ${padding} on every side here`)
    }
    writer.node(mode === 'max' ? 'MaxPool' : 'AvgPool', writer.nameOf(step.id), writer.images(step), {
      ksize: attribute.integers([1, kernel, kernel, 1]),
      strides: attribute.integers([1, stride, stride, 1]),
      padding: attribute.text(padding > 0 ? 'SAME' : 'VALID'),
      data_format: attribute.text('NHWC'),
    })
  },
}

export { pool }
