// Output sizes of layers that slide a window over an image, with the same zeros on every side, as PyTorch counts them.

import { LayerGraphError, type Shape } from './layer.ts'

/** ⌊(size + 2 padding - kernel) / stride⌋ + 1, of rows and of columns. */
function slideWindow(
  id: string,
  [height, width]: Shape,
  { kernel, stride, padding }: { readonly kernel: number; readonly stride: number; readonly padding: number },
  channels: number,
): Shape {
  const places = (size: number) => Math.floor((size + 2 * padding - kernel) / stride) + 1
  const shape = [places(height), places(width), channels] as const
  if (shape[0] < 1 || shape[1] < 1) {
    throw new LayerGraphError(`layer ${id}: a window of ${kernel}×${kernel} with padding ${padding} does not fit into ${height}×${width}`)
  }
  return shape
}

/**
 * Zeros on every side of a convolution: ⌊kernel / 2⌋ whatever the stride, as PyTorch code does and with it the authors' of ProxylessNAS
 * and MobileNetV2's ports. The output is ⌈input / stride⌉. TensorFlow's `same` gives the same at stride 1, but at stride 2 and even
 * sizes it puts one zero less in front, which shifts every window. Throws LayerGraphError for an even kernel, which has no centre.
 */
function centredPadding(kernel: number): number {
  if (kernel % 2 !== 1) throw new LayerGraphError(`expected a convolution of odd kernel size, got ${kernel}`)
  return (kernel - 1) / 2
}

export { centredPadding, slideWindow }
