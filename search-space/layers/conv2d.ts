import { defineLayer, type LayerBase, onlyShape, type WeightSpec } from './layer.ts'
import { centredPadding, slideWindow } from './windows.ts'

/** Dense convolution of odd kernel, ⌊kernel / 2⌋ zeros on every side, no bias. Filter: [kernel, kernel, inChannels, outChannels]. */
type Conv2dLayer = LayerBase<'conv2d'> & {
  readonly input: string
  readonly kernel: number
  readonly stride: number
  readonly filter: string
}

const conv2d = defineLayer<Conv2dLayer>()({
  shape(layer, inputs) {
    const { id, kernel, stride, shape } = layer
    return slideWindow(id, onlyShape(layer, inputs), { kernel, stride, padding: centredPadding(kernel) }, shape[2])
  },
  macs: (layer, inputs) => layer.shape[0] * layer.shape[1] * layer.kernel ** 2 * onlyShape(layer, inputs)[2] * layer.shape[2],
  weights(layer, inputs) {
    const { kernel, shape } = layer
    const filter: WeightSpec = {
      key: layer.filter,
      shape: [kernel, kernel, onlyShape(layer, inputs)[2], shape[2]],
      initialiser: { kind: 'he-normal-fan-out', fanOut: kernel * kernel * shape[2] },
      decay: true,
    }
    return { filter }
  },
  examples: () => [
    {
      name: '1×1',
      inputs: [[4, 3, 5]],
      layer: { kind: 'conv2d', id: 'layer', input: 'x0', kernel: 1, stride: 1, filter: 'filter', shape: [4, 3, 6] },
    },
    {
      name: '3×3 of stride 2',
      inputs: [[6, 5, 3]],
      layer: { kind: 'conv2d', id: 'layer', input: 'x0', kernel: 3, stride: 2, filter: 'filter', shape: [3, 3, 5] },
    },
  ],
})

export { conv2d, type Conv2dLayer }
