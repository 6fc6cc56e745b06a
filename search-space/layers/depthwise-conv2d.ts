import { defineLayer, type LayerBase, LayerGraphError, onlyShape, type WeightSpec } from './layer.ts'
import { centredPadding, slideWindow } from './windows.ts'

/**
 * Depthwise convolution of odd kernel, dilation · ⌊kernel / 2⌋ zeros on every side, multiplier 1, no bias. Filter:
 * [kernel, kernel, channels, 1].
 */
type DepthwiseConv2dLayer = LayerBase<'depthwiseConv2d'> & {
  readonly input: string
  readonly kernel: number
  readonly stride: number
  /** Pixels from one tap to the next, 1 by default. A stride above 1 is a multiple of it. */
  readonly dilation?: number
  readonly filter: string
}

/** Zeros on every side. Throws LayerGraphError for an even kernel, and for a stride that is neither 1 nor a multiple of the dilation. */
function depthwisePadding({ id, kernel, stride, dilation = 1 }: DepthwiseConv2dLayer): number {
  if (stride > 1 && stride % dilation !== 0) {
    throw new LayerGraphError(`layer ${id}: expected a stride of 1 or a multiple of the dilation ${dilation}, got ${stride}`)
  }
  return dilation * centredPadding(kernel)
}

const depthwiseConv2d = defineLayer<DepthwiseConv2dLayer>()({
  shape(layer, inputs) {
    const { id, kernel, stride, dilation = 1 } = layer
    const from = onlyShape(layer, inputs)
    return slideWindow(id, from, { kernel: dilation * (kernel - 1) + 1, stride, padding: depthwisePadding(layer) }, from[2])
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
    {
      name: '3×3 dilated by 2',
      inputs: [[6, 5, 6]],
      layer: { kind: 'depthwiseConv2d', id: 'layer', input: 'x0', kernel: 3, stride: 1, dilation: 2, filter: 'filter', shape: [6, 5, 6] },
    },
    {
      name: '5×5 dilated by 2, of stride 2',
      inputs: [[7, 8, 5]],
      layer: { kind: 'depthwiseConv2d', id: 'layer', input: 'x0', kernel: 5, stride: 2, dilation: 2, filter: 'filter', shape: [4, 4, 5] },
    },
  ],
})

export { depthwiseConv2d, type DepthwiseConv2dLayer, depthwisePadding }
