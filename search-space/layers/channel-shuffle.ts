import { defineLayer, type LayerBase, LayerGraphError, onlyShape } from './layer.ts'

/**
 * The channels of `groups` equal runs, one of each in turn (Zhang et al. 2018, ShuffleNet, arXiv 1707.01083): what is made in groups meets in
 * those of the next layer. Channel i · groups + g is channel i of run g.
 */
type ChannelShuffleLayer = LayerBase<'channelShuffle'> & { readonly input: string; readonly groups: number }

const channelShuffle = defineLayer<ChannelShuffleLayer>()({
  shape(layer, inputs) {
    const { id, groups } = layer
    const from = onlyShape(layer, inputs)
    if (from[2] % groups !== 0) throw new LayerGraphError(`layer ${id}: expected ${groups} groups to divide ${from[2]} channels`)
    return from
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'of 2 groups',
      inputs: [[4, 3, 10]],
      layer: { kind: 'channelShuffle', id: 'layer', input: 'x0', groups: 2, shape: [4, 3, 10] },
    },
    {
      name: 'of 3 groups',
      inputs: [[3, 4, 12]],
      layer: { kind: 'channelShuffle', id: 'layer', input: 'x0', groups: 3, shape: [3, 4, 12] },
    },
  ],
})

export { channelShuffle, type ChannelShuffleLayer }
