import type { TfjsRule } from './rule.ts'
import type { TfjsWriter } from './writer.ts'

/**
 * Channels `first` to `first + count` of an image. Keras crops and pads rows and columns alone: told that channels come first, which they do
 * not, it takes columns for rows and channels for columns.
 */
function takeChannels(writer: TfjsWriter, name: string, input: string, first: number, count: number, channels: number): string {
  const cropping = [
    [0, 0],
    [first, channels - first - count],
  ]
  return writer.layer('Cropping2D', name, [input], { cropping, data_format: 'channels_first' })
}

const channelRange: TfjsRule<'channelRange'> = {
  write(step, writer) {
    const { layer, shape, inputShapes } = step
    const channels = inputShapes[0]?.[2] ?? 0
    const count = Math.min(channels - layer.first, shape[2])
    const name = writer.nameOf(step.id)
    const isPadded = count < shape[2]
    const taken = takeChannels(writer, isPadded ? `${name}_part` : name, writer.images(step)[0] ?? '', layer.first, count, channels)
    if (!isPadded) return
    const padding = [
      [0, 0],
      [0, shape[2] - count],
    ]
    writer.layer('ZeroPadding2D', name, [taken], { padding, data_format: 'channels_first' })
  },
}

export { channelRange, takeChannels }
