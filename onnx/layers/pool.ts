import { poolPadding } from '../../search-space/layers/pool.ts'
import { int, ints } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

const pool: OnnxRule<'pool'> = {
  write(step, writer) {
    const { id, layer } = step
    const { mode, kernel, stride } = layer
    const padding = poolPadding(layer)
    const window = [
      ints('kernel_shape', [kernel, kernel]),
      ints('pads', [padding, padding, padding, padding]),
      ints('strides', [stride, stride]),
    ]
    const input = inputNames(step, writer)
    if (mode === 'max') writer.node('MaxPool', id, input, writer.tensor(id), window)
    else writer.node('AveragePool', id, input, writer.tensor(id), [...window, int('count_include_pad', 0)])
  },
}

export { pool }
