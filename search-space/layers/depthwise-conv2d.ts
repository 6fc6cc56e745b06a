import { defineLayer, type LayerBase, onlyShape, type WeightSpec } from './layer.ts'
import { centredPadding, slideWindow } from './windows.ts'

/** Depthwise convolution of odd kernel, ⌊kernel / 2⌋ zeros on every side, multiplier 1, no bias. Filter: [kernel, kernel, channels, 1]. */
type DepthwiseConv2dLayer = LayerBase<'depthwiseConv2d'> & {
  readonly input: string
  readonly kernel: number
  readonly stride: number
  readonly filter: string
}

const depthwiseConv2d = defineLayer<DepthwiseConv2dLayer>()({
  shape(layer, inputs) {
    const { id, kernel, stride } = layer
    const from = onlyShape(layer, inputs)
    return slideWindow(id, from, { kernel, stride, padding: centredPadding(kernel) }, from[2])
  },
  macs: ({ shape, kernel }) => shape[0] * shape[1] * shape[2] * kernel ** 2,
  weights(layer, inputs) {
    const { kernel } = layer
    const channels = onlyShape(layer, inputs)[2]
    const filter: WeightSpec = {
      key: layer.filter,
      shape: [kernel, kernel, channels, 1],
      // Of all channels together, as the authors of ProxylessNAS count it.
      initialiser: { kind: 'he-normal-fan-out', fanOut: kernel * kernel * channels },
      decay: true,
    }
    return { filter }
  },
  examples: () => [
    {
      name: '3×3',
      inputs: [[5, 4, 6]],
      layer: { kind: 'depthwiseConv2d', id: 'layer', input: 'x0', kernel: 3, stride: 1, filter: 'filter', shape: [5, 4, 6] },
    },
    {
      name: '5×5 of stride 3',
      inputs: [[8, 7, 5]],
      layer: { kind: 'depthwiseConv2d', id: 'layer', input: 'x0', kernel: 5, stride: 3, filter: 'filter', shape: [3, 3, 5] },
    },
  ],
})

export { depthwiseConv2d, type DepthwiseConv2dLayer }
