import { defineLayer, type LayerBase, LayerGraphError, onlyShape } from './layer.ts'

/** Leaves out the first `top` rows and the first `left` columns of an image. */
type CropLayer = LayerBase<'crop'> & { readonly input: string; readonly top: number; readonly left: number }

const crop = defineLayer<CropLayer>()({
  shape(layer, inputs) {
    const { id, top, left } = layer
    const [height, width, channels] = onlyShape(layer, inputs)
    if (top < 0 || left < 0 || top >= height || left >= width) {
      throw new LayerGraphError(`layer ${id}: ${top} rows and ${left} columns cannot be left out of ${height}×${width}`)
    }
    return [height - top, width - left, channels]
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [
    {
      name: 'a row and two columns',
      inputs: [[5, 4, 3]],
      layer: { kind: 'crop', id: 'layer', input: 'x0', top: 1, left: 2, shape: [4, 2, 3] },
    },
  ],
})

export { crop, type CropLayer }
