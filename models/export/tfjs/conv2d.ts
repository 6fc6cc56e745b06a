import { writeConvolution } from './convolution.ts'
import type { TfjsRule } from './rule.ts'

const conv2d: TfjsRule<'conv2d'> = {
  write(step, writer) {
    const { kernel } = step.layer
    const outputs = step.shape[2]
    const filterShape = [kernel, kernel, step.inputShapes[0]?.[2] ?? 1, outputs]
    writeConvolution(step, writer, { className: 'Conv2D', config: { filters: outputs }, filterName: 'kernel', filterShape })
  },
}

export { conv2d }
