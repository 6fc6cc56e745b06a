import { defineLayer, type LayerBase, onlyShape, type WeightSpec } from './layer.ts'

/** Per-channel normalisation; gamma and beta: [channels]. Batch statistics unless running ones are given. */
type BatchNormLayer = LayerBase<'batchNorm'> & {
  readonly input: string
  readonly gamma: string
  readonly beta: string
  readonly epsilon: number
}

const batchNorm = defineLayer<BatchNormLayer>()({
  shape: onlyShape,
  macs: () => 0,
  weights(layer) {
    const shape = [layer.shape[2]]
    const gamma: WeightSpec = { key: layer.gamma, shape, initialiser: { kind: 'ones' }, decay: false }
    const beta: WeightSpec = { key: layer.beta, shape, initialiser: { kind: 'zeros' }, decay: false }
    return { gamma, beta }
  },
  examples: () => [
    {
      name: 'over an image',
      inputs: [[4, 3, 5]],
      layer: { kind: 'batchNorm', id: 'layer', input: 'x0', gamma: 'gamma', beta: 'beta', epsilon: 1e-3, shape: [4, 3, 5] },
    },
  ],
})

export { batchNorm, type BatchNormLayer }
