import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../../kernels/operations.ts'
import { convolutionRule } from './convolution.ts'

const operations = { forward: kernels.depthwiseConv2d, gradient: kernels.depthwiseGradient, fused: tf.fused.depthwiseConv2d }

const depthwiseConv2d = convolutionRule(operations, () => true)

export { depthwiseConv2d }
