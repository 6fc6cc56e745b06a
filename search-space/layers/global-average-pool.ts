import { defineLayer, type LayerBase, onlyShape } from './layer.ts'

type GlobalAveragePoolLayer = LayerBase<'globalAveragePool'> & { readonly input: string }

const globalAveragePool = defineLayer<GlobalAveragePoolLayer>()({
  shape: (layer, inputs) => [1, 1, onlyShape(layer, inputs)[2]],
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'an image',
      inputs: [[4, 3, 5]],
      layer: { kind: 'globalAveragePool', id: 'layer', input: 'x0', shape: [1, 1, 5] },
    },
  ],
})

export { globalAveragePool, type GlobalAveragePoolLayer }
