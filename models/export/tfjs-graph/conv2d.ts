import { writeConvolution } from './convolution.ts'
import type { GraphRule } from './rule.ts'

const conv2d: GraphRule<'conv2d'> = {
  write(step, writer) {
    const { kernel } = step.layer
    const shape = [kernel, kernel, step.inputShapes[0]?.[2] ?? 1, step.shape[2]]
    writeConvolution(step, writer, { plain: 'Conv2D', fused: '_FusedConv2D' }, shape)
  },
}

export { conv2d }
