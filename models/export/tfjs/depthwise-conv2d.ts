import { writeConvolution } from './convolution.ts'
import type { TfjsRule } from './rule.ts'

const depthwiseConv2d: TfjsRule<'depthwiseConv2d'> = {
  write(step, writer) {
    const { kernel } = step.layer
    const filterShape = [kernel, kernel, step.shape[2], 1]
    const config = { depth_multiplier: 1 }
    writeConvolution(step, writer, { className: 'DepthwiseConv2D', config, filterName: 'depthwise_kernel', filterShape })
  },
}

export { depthwiseConv2d }
