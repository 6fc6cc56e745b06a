import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../../kernels/operations.ts'
import { convolutionRule } from './convolution.ts'

const operations = { forward: kernels.conv2d, gradient: kernels.conv2dGradient, fused: tf.fused.conv2d }

/** Only where it is a plain matrix product does it read every value once, and can normalise as it reads. */
const conv2d = convolutionRule(operations, { before: ({ kernel, stride }) => kernel === 1 && stride === 1, behind: () => true })

export { conv2d }
