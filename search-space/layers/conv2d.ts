import { defineLayer, type LayerBase, LayerGraphError, onlyShape, type Shape, type WeightSpec } from './layer.ts'
import { centredPadding, slideWindow } from './windows.ts'

/** Convolution of odd kernel, ⌊kernel / 2⌋ zeros on every side, no bias. Filter: [kernel, kernel, inChannels / groups, outChannels]. */
type Conv2dLayer = LayerBase<'conv2d'> & {
  readonly input: string
  readonly kernel: number
  readonly stride: number
  /** Runs of channels that are convolved by themselves, each to as many of the outputs; 1 by default. Divides both numbers of channels. */
  readonly groups?: number
  readonly filter: string
}

/** Channels that each output reads. Throws LayerGraphError where the groups do not divide the channels. */
function groupChannels(layer: Conv2dLayer, inputs: readonly Shape[]): number {
  const { id, groups = 1, shape } = layer
  const [, , channels] = onlyShape(layer, inputs)
  if (channels % groups !== 0 || shape[2] % groups !== 0) {
    throw new LayerGraphError(`layer ${id}: expected ${groups} groups to divide ${channels} and ${shape[2]} channels`)
  }
  return channels / groups
}

const conv2d = defineLayer<Conv2dLayer>()({
  shape(layer, inputs) {
    const { id, kernel, stride, shape } = layer
    groupChannels(layer, inputs)
    return slideWindow(id, onlyShape(layer, inputs), { kernel, stride, padding: centredPadding(kernel) }, shape[2])
  },
  macs: (layer, inputs) => layer.shape[0] * layer.shape[1] * layer.kernel ** 2 * groupChannels(layer, inputs) * layer.shape[2],
  weights(layer, inputs) {
    const { kernel, shape } = layer
    const filter: WeightSpec = {
      key: layer.filter,
      shape: [kernel, kernel, groupChannels(layer, inputs), shape[2]],
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
    {
      name: '3×3 in 2 groups',
      inputs: [[4, 5, 6]],
      layer: { kind: 'conv2d', id: 'layer', input: 'x0', kernel: 3, stride: 1, groups: 2, filter: 'filter', shape: [4, 5, 10] },
    },
    {
      name: '3×3 of stride 2 in 3 groups',
      inputs: [[6, 5, 6]],
      layer: { kind: 'conv2d', id: 'layer', input: 'x0', kernel: 3, stride: 2, groups: 3, filter: 'filter', shape: [3, 3, 3] },
    },
    {
      name: '1×1 in 2 groups',
      inputs: [[3, 4, 4]],
      layer: { kind: 'conv2d', id: 'layer', input: 'x0', kernel: 1, stride: 1, groups: 2, filter: 'filter', shape: [3, 4, 6] },
    },
  ],
})

export { conv2d, type Conv2dLayer }
