import { defineLayer, type LayerBase, onlyShape, type WeightSpec } from './layer.ts'

/** Fully connected. Weights: [inputs, outputs], inputs in the order height, width, channels; bias: [outputs]. */
type LinearLayer = LayerBase<'linear'> & {
  readonly input: string
  readonly weights: string
  readonly bias: string
}

const linear = defineLayer<LinearLayer>()({
  shape: (layer, inputs) => {
    onlyShape(layer, inputs)
    return [1, 1, layer.shape[2]]
  },
  macs(layer, inputs) {
    const [height, width, channels] = onlyShape(layer, inputs)
    return height * width * channels * layer.shape[2]
  },
  weights(layer, inputs) {
    const [height, width, channels] = onlyShape(layer, inputs)
    const fanIn = height * width * channels
    const outputs = layer.shape[2]
    const weights: WeightSpec = {
      key: layer.weights,
      shape: [fanIn, outputs],
      initialiser: { kind: 'uniform-fan-in', fanIn },
      decay: true,
    }
    const bias: WeightSpec = { key: layer.bias, shape: [outputs], initialiser: { kind: 'zeros' }, decay: false }
    return { weights, bias }
  },
  examples: () => [
    {
      name: 'a vector',
      inputs: [[1, 1, 7]],
      layer: { kind: 'linear', id: 'layer', input: 'x0', weights: 'weights', bias: 'bias', shape: [1, 1, 4] },
    },
    {
      name: 'an image',
      inputs: [[2, 3, 4]],
      layer: { kind: 'linear', id: 'layer', input: 'x0', weights: 'weights', bias: 'bias', shape: [1, 1, 3] },
    },
  ],
})

export { linear, type LinearLayer }
