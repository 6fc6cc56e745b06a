import { reorderAxes } from '../reorder.ts'
import { int } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

/** A picture is read channel by channel here and pixel by pixel in layer graphs, so the rows of the weights change places. */
const linear: OnnxRule<'linear'> = {
  write(step, writer) {
    const { id, shape, inputShapes, constants } = step
    const outputs = shape[2]
    const [height, width, channels] = inputShapes[0] ?? [1, 1, constants.weights.length / outputs]
    const rows = reorderAxes(constants.weights, [height * width, channels, outputs], [1, 0, 2])
    const flat = writer.node('Flatten', `${id}/flatten`, inputNames(step, writer), `${id}/flat`, [int('axis', 1)])
    const weights = writer.floats(`${id}/weights`, [height * width * channels, outputs], rows)
    const bias = writer.floats(`${id}/bias`, [outputs], constants.bias)
    const output = writer.tensor(id)
    const isLast = writer.isOutput(id)
    const product = writer.node('Gemm', id, [flat, weights, bias], isLast ? output : `${id}/vector`)
    // Whatever reads it inside the network expects a picture of one pixel.
    if (!isLast) writer.node('Unsqueeze', `${id}/unsqueeze`, [product, writer.int64s('pixel', [2, 3])], output)
  },
}

export { linear }
