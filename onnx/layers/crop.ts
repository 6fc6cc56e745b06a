import { inputNames, type OnnxRule } from './rule.ts'

const HEIGHT_AXIS = 2
const WIDTH_AXIS = 3

/** A Slice whose ends are those of the image. */
const crop: OnnxRule<'crop'> = {
  write(step, writer) {
    const { id, layer, shape } = step
    const { top, left } = layer
    const starts = writer.int64s(`${id}/starts`, [top, left])
    const ends = writer.int64s(`${id}/ends`, [top + shape[0], left + shape[1]])
    const axes = writer.int64s(`${id}/axes`, [HEIGHT_AXIS, WIDTH_AXIS])
    writer.node('Slice', id, [...inputNames(step, writer), starts, ends, axes], writer.tensor(id))
  },
}

export { crop }
