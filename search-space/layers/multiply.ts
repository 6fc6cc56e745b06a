import { defineLayer, type LayerBase, LayerGraphError, printShapes } from './layer.ts'

/** The product of two images, or of an image and one number for each of its channels, [1, 1, channels]. */
type MultiplyLayer = LayerBase<'multiply'> & { readonly inputs: readonly [image: string, factor: string] }

const multiply = defineLayer<MultiplyLayer>()({
  shape({ id }, inputs) {
    const [image, factor] = inputs
    const isOne = factor?.[0] === 1 && factor[1] === 1 && factor[2] === image?.[2]
    if (!image || !factor || inputs.length > 2 || !(isOne || image.every((size, axis) => size === factor[axis]))) {
      throw new LayerGraphError(
        `layer ${id}: expected two inputs of one shape, or an image and 1×1 of its channels, got ${printShapes(inputs)}`,
      )
    }
    return image
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
      layer: { kind: 'multiply', id: 'layer', inputs: ['x0', 'x1'], shape: [4, 3, 5] },
    },
    {
      name: 'an image and a number for each channel',
      inputs: [
        [4, 3, 6],
        [1, 1, 6],
      ],
      layer: { kind: 'multiply', id: 'layer', inputs: ['x0', 'x1'], shape: [4, 3, 6] },
    },
  ],
})

export { multiply, type MultiplyLayer }
