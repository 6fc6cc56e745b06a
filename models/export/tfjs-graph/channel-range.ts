import type { GraphRule } from './rule.ts'
import type { GraphWriter } from './writer.ts'

/** Channels `first` to `first + count`. */
function takeChannels(writer: GraphWriter, name: string, input: string, first: number, count: number): string {
  const begin = writer.constant(`${name}/begin`, [4], Int32Array.of(0, 0, 0, first))
  const size = writer.constant(`${name}/size`, [4], Int32Array.of(-1, -1, -1, count))
  return writer.node('Slice', name, [input, begin, size], { Index: { type: 'DT_INT32' } })
}

const channelRange: GraphRule<'channelRange'> = {
  write(step, writer) {
    const { layer, shape, inputShapes } = step
    const count = Math.min((inputShapes[0]?.[2] ?? 0) - layer.first, shape[2])
    const name = writer.nameOf(step.id)
    const [input = ''] = writer.images(step)
    if (count === shape[2]) {
      takeChannels(writer, name, input, layer.first, count)
      return
    }
    const part = takeChannels(writer, `${name}/part`, input, layer.first, count)
    // In front and behind, of each axis.
    const paddings = writer.constant(`${name}/paddings`, [4, 2], Int32Array.of(0, 0, 0, 0, 0, 0, 0, shape[2] - count))
    writer.node('Pad', name, [part, paddings], { Tpaddings: { type: 'DT_INT32' } })
  },
}

export { channelRange, takeChannels }
