// How convolutions are padded: with ⌊kernel / 2⌋ zeros on every side, whatever the stride, as PyTorch code does and with it
// the authors' of ProxylessNAS and MobileNetV2's ports. The output is ⌈input / stride⌉. TensorFlow's `same` gives the same at
// stride 1, but at stride 2 and even sizes it puts one zero less in front, which shifts every window.

/** Zeros on every side. Throws for an even kernel, which has no centre. */
function centredPadding(kernel: number): number {
  if (kernel % 2 !== 1) throw new Error(`expected a convolution of odd kernel size, got ${kernel}`)
  return (kernel - 1) / 2
}

export { centredPadding }
