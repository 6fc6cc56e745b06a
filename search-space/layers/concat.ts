import { defineLayer, type LayerBase, LayerGraphError, printShapes } from './layer.ts'

/** Concatenation along channels. */
type ConcatLayer = LayerBase<'concat'> & { readonly inputs: readonly string[] }

const concat = defineLayer<ConcatLayer>()({
  shape({ id }, inputs) {
    const [first] = inputs
    if (!first || inputs.some(([height, width]) => height !== first[0] || width !== first[1])) {
      throw new LayerGraphError(`layer ${id}: expected inputs of one height and width, got ${printShapes(inputs)}`)
    }
    return [first[0], first[1], inputs.reduce((sum, [, , channels]) => sum + channels, 0)]
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'three images',
      inputs: [
        [4, 3, 5],
        [4, 3, 2],
        [4, 3, 1],
      ],
      layer: { kind: 'concat', id: 'layer', inputs: ['x0', 'x1', 'x2'], shape: [4, 3, 8] },
    },
  ],
})

export { concat, type ConcatLayer }
