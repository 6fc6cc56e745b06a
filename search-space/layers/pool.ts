import { defineLayer, type LayerBase, LayerGraphError, onlyShape } from './layer.ts'
import { slideWindow } from './windows.ts'

/**
 * Pooling as PyTorch's MaxPool2d, and as its AvgPool2d with `count_include_pad=False`, which DARTS and NAS-Bench-201 ask for:
 * the padding, the same on every side, is in no maximum and does not count in averages. TensorFlow's `same` differs from it where
 * stride is above 1 and the size is even.
 */
type PoolLayer = LayerBase<'pool'> & {
  readonly input: string
  readonly mode: 'max' | 'average'
  readonly kernel: number
  readonly stride: number
  /** On every side, at most ⌊kernel / 2⌋, so that no window is padding alone. Default: ⌊kernel / 2⌋. */
  readonly padding?: number
}

/** Throws LayerGraphError for more padding than half of the kernel. */
function poolPadding({ id, kernel, padding }: PoolLayer): number {
  const half = Math.floor(kernel / 2)
  if (padding !== undefined && (padding < 0 || padding > half)) {
    throw new LayerGraphError(`layer ${id}: expected a padding from 0 to ${half}, half of the kernel, got ${padding}`)
  }
  return padding ?? half
}

const pool = defineLayer<PoolLayer>()({
  shape(layer, inputs) {
    const { id, kernel, stride } = layer
    const from = onlyShape(layer, inputs)
    return slideWindow(id, from, { kernel, stride, padding: poolPadding(layer) }, from[2])
  },
  macs: () => 0,
  weights: () => ({}),
  examples: () =>
    (['max', 'average'] as const).flatMap((mode) => [
      {
        name: `${mode} of 3×3`,
        inputs: [[5, 4, 3]],
        layer: { kind: 'pool', id: 'layer', input: 'x0', mode, kernel: 3, stride: 1, shape: [5, 4, 3] },
      },
      {
        name: `${mode} of 3×3, stride 2 over an even size`,
        inputs: [[6, 8, 3]],
        layer: { kind: 'pool', id: 'layer', input: 'x0', mode, kernel: 3, stride: 2, shape: [3, 4, 3] },
      },
      {
        name: `${mode} of 2×2 without padding over an odd size`,
        inputs: [[5, 7, 2]],
        layer: { kind: 'pool', id: 'layer', input: 'x0', mode, kernel: 2, stride: 2, padding: 0, shape: [2, 3, 2] },
      },
    ]),
})

export { pool, type PoolLayer, poolPadding }
