import { refuseLayer } from '../../../search-space/layers/refusal.ts'
import { writeConvolution } from './convolution.ts'
import { FORMAT, type TfjsRule } from './rule.ts'

const depthwiseConv2d: TfjsRule<'depthwiseConv2d'> = {
  write(step, writer) {
    const { kernel, dilation = 1 } = step.layer
    if (dilation > 1) refuseLayer(step, FORMAT, 'its depthwise convolution leaves the dilation out of account')
    const filterShape = [kernel, kernel, step.shape[2], 1]
    const config = { depth_multiplier: 1 }
    writeConvolution(step, writer, { className: 'DepthwiseConv2D', config, filterName: 'depthwise_kernel', filterShape })
  },
}

export { depthwiseConv2d }
