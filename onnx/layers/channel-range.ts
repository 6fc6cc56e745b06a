import { inputNames, type OnnxRule } from './rule.ts'

const CHANNEL_AXIS = 1

/** A Slice where it leaves channels of its input out, and a Pad where it has more of them. */
const channelRange: OnnxRule<'channelRange'> = {
  write(step, writer) {
    const { id, layer, shape, inputShapes } = step
    const channels = inputShapes[0]?.[2] ?? 0
    const end = Math.min(channels, layer.first + shape[2])
    const missing = layer.first + shape[2] - end
    let [input = ''] = inputNames(step, writer)
    if (layer.first > 0 || end < channels || missing === 0) {
      const bounds = [
        writer.int64s(`${id}/start`, [layer.first]),
        writer.int64s(`${id}/end`, [end]),
        writer.int64s(`${id}/axis`, [CHANNEL_AXIS]),
      ]
      input = writer.node('Slice', `${id}/part`, [input, ...bounds], missing === 0 ? writer.tensor(id) : `${id}/part`)
    }
    if (missing === 0) return
    // Of each axis how many in front, and then how many behind.
    const pads = writer.int64s(`${id}/pads`, [0, 0, 0, 0, 0, missing, 0, 0])
    writer.node('Pad', id, [input, pads], writer.tensor(id))
  },
}

export { channelRange }
