import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf } from '../../../search-space/layer-graph.ts'
import * as kernels from '../../kernels/operations.ts'
import { type ConvolutionKind, convolutionRule } from './convolution.ts'
import { forwardDilated, reverseDilated } from './dilated.ts'
import type { LayerRule } from './rule.ts'

const operations = { forward: kernels.depthwiseConv2d, gradient: kernels.depthwiseGradient, fused: tf.fused.depthwiseConv2d }

const isDilated = (layer: LayerOf<ConvolutionKind>) => 'dilation' in layer && (layer.dilation ?? 1) > 1
const isPlain = (layer: LayerOf<ConvolutionKind>) => !isDilated(layer)

const plain = convolutionRule(operations, { before: isPlain, behind: isPlain })

const depthwiseConv2d: LayerRule<'depthwiseConv2d'> = {
  ...plain,
  forward: (step, inputs, context) =>
    isDilated(step.layer) ? { outputs: [forwardDilated(step, inputs, context, plain.forward)] } : plain.forward(step, inputs, context),
  reverse: (given) => (isDilated(given.step.layer) ? reverseDilated(given, plain.reverse) : plain.reverse(given)),
}

export { depthwiseConv2d }
