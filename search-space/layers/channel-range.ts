import { defineLayer, type LayerBase, LayerGraphError, onlyShape } from './layer.ts'

/**
 * As many channels as `shape` has, from channel `first` of its input on; where the input has no more of them, they are 0. So it takes a
 * part of the channels, or puts channels of zeros behind them, as shortcuts of PyramidNet do (Han, Kim and Kim 2017).
 */
type ChannelRangeLayer = LayerBase<'channelRange'> & { readonly input: string; readonly first: number }

const channelRange = defineLayer<ChannelRangeLayer>()({
  shape(layer, inputs) {
    const { id, first, shape } = layer
    const [height, width, channels] = onlyShape(layer, inputs)
    if (first < 0 || first >= channels)
      throw new LayerGraphError(`layer ${id}: expected a first channel from 0 to ${channels - 1}, got ${first}`)
    return [height, width, shape[2]]
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'the second half',
      inputs: [[4, 3, 6]],
      layer: { kind: 'channelRange', id: 'layer', input: 'x0', first: 3, shape: [4, 3, 3] },
    },
    {
      name: 'the first ones',
      inputs: [[3, 4, 7]],
      layer: { kind: 'channelRange', id: 'layer', input: 'x0', first: 0, shape: [3, 4, 5] },
    },
    {
      name: 'zeros behind all',
      inputs: [[4, 3, 5]],
      layer: { kind: 'channelRange', id: 'layer', input: 'x0', first: 0, shape: [4, 3, 9] },
    },
    {
      name: 'zeros behind a part',
      inputs: [[2, 3, 6]],
      layer: { kind: 'channelRange', id: 'layer', input: 'x0', first: 4, shape: [2, 3, 5] },
    },
  ],
})

export { channelRange, type ChannelRangeLayer }
