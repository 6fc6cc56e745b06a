import { defineLayer, type LayerBase, onlyShape } from './layer.ts'

/** All zeros, whatever the input. */
type ZeroLayer = LayerBase<'zero'> & { readonly input: string }

const zero = defineLayer<ZeroLayer>()({
  shape(layer, inputs) {
    onlyShape(layer, inputs)
    return layer.shape
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [{ name: 'of another shape', inputs: [[4, 3, 5]], layer: { kind: 'zero', id: 'layer', input: 'x0', shape: [2, 2, 3] } }],
})

export { zero, type ZeroLayer }
