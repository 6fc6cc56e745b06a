import { writeConvolution } from './convolution.ts'
import type { GraphRule } from './rule.ts'

const depthwiseConv2d: GraphRule<'depthwiseConv2d'> = {
  write(step, writer) {
    const { kernel } = step.layer
    const names = { plain: 'DepthwiseConv2dNative', fused: 'FusedDepthwiseConv2dNative' }
    writeConvolution(step, writer, names, [kernel, kernel, step.shape[2], 1])
  },
}

export { depthwiseConv2d }
