import { defineLayer, type LayerBase } from './layer.ts'

/** The images; the first layer of a graph. */
type InputLayer = LayerBase<'input'>

const input = defineLayer<InputLayer>()({
  shape: ({ shape }) => shape,
  macs: () => 0,
  weights: () => ({}),
  examples: () => [{ name: 'an image', inputs: [], layer: { kind: 'input', id: 'layer', shape: [4, 3, 2] } }],
})

export { input, type InputLayer }
