import { defineLayer, type LayerBase, LayerGraphError, printShapes, type Shape } from './layer.ts'

type AddLayer = LayerBase<'add'> & { readonly inputs: readonly [string, string] }

const add = defineLayer<AddLayer>()({
  shape({ id }, inputs) {
    const [first, second] = inputs
    if (!first || !second || inputs.length > 2 || first.some((size, axis) => size !== second[axis])) {
      throw new LayerGraphError(`layer ${id}: expected two inputs of one shape, got ${printShapes(inputs)}`)
    }
    return first satisfies Shape
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'two images',
      inputs: [
        [4, 3, 5],
        [4, 3, 5],
      ],
      layer: { kind: 'add', id: 'layer', inputs: ['x0', 'x1'], shape: [4, 3, 5] },
    },
  ],
})

export { add, type AddLayer }
