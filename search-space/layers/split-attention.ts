import { defineLayer, type LayerBase, LayerGraphError, type LayerExample, printShapes, type Shape } from './layer.ts'

/**
 * The mean of several images x_1 … x_r with weights for each channel (Split-Attention: Zhang et al. 2020, ResNeSt, section 3.1):
 *
 *     y = Σ_i a_i x_i,   a_ic = exp(z_ic) / Σ_j exp(z_jc)
 *
 * Reads x_1 … x_r and then z_1 … z_r, [1, 1, channels] each; r ≥ 2, since the softmax over one is 1.
 */
type SplitAttentionLayer = LayerBase<'splitAttention'> & { readonly inputs: readonly string[] }

const LEAST_SPLITS = 2

function example(splits: number, [height, width, channels]: Shape): LayerExample<SplitAttentionLayer> {
  const all = Array.from({ length: splits }, (_, index) => index)
  return {
    name: `${splits} images`,
    inputs: [...all.map((): Shape => [height, width, channels]), ...all.map((): Shape => [1, 1, channels])],
    layer: {
      kind: 'splitAttention',
      id: 'layer',
      inputs: [...all, ...all.map((i) => i + splits)].map((i) => `x${i}`),
      shape: [height, width, channels],
    },
  }
}

const splitAttention = defineLayer<SplitAttentionLayer>()({
  shape({ id }, inputs) {
    const splits = inputs.length / 2
    const [image] = inputs
    const fits = (shape: Shape, index: number) => shape.every((size, axis) => size === (axis === 2 || index < splits ? image?.[axis] : 1))
    if (!image || !Number.isInteger(splits) || splits < LEAST_SPLITS || !inputs.every(fits)) {
      throw new LayerGraphError(
        `layer ${id}: expected ${LEAST_SPLITS} or more images of one shape, and 1×1 of its channels for each, got ${printShapes(inputs)}`,
      )
    }
    return image
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () => [example(2, [4, 3, 5]), example(4, [3, 3, 6])],
})

export { splitAttention, type SplitAttentionLayer }
