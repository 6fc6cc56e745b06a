import type { GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

const concat: GraphRule<'concat'> = {
  write(step, writer) {
    const images = writer.images(step)
    const axis = writer.constant('constants/last_axis', [], Int32Array.of(-1))
    writer.node('ConcatV2', writer.nameOf(step.id), [...images, axis], { N: attribute.integer(images.length), Tidx: { type: 'DT_INT32' } })
  },
}

export { concat }
