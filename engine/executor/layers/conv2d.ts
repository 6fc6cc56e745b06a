import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf } from '../../../search-space/layer-graph.ts'
import * as kernels from '../../kernels/operations.ts'
import { type ConvolutionKind, convolutionRule } from './convolution.ts'
import { groupSteps } from './groups.ts'
import { type InferenceStep, type LayerRule, only, type PreparedLayer } from './rule.ts'

const CHANNEL_AXIS = 3

const operations = { forward: kernels.conv2d, gradient: kernels.conv2dGradient, fused: tf.fused.conv2d }

function isGrouped(layer: LayerOf<ConvolutionKind>): boolean {
  return 'groups' in layer && (layer.groups ?? 1) > 1
}

/** Only where it is a plain matrix product does it read every value once, and can normalise as it reads. */
const isProduct = (layer: LayerOf<ConvolutionKind>) => layer.kernel === 1 && layer.stride === 1 && !isGrouped(layer)

const plain = convolutionRule(operations, { before: isProduct, behind: () => true })

/** TensorFlow.js has no groups: each is a convolution of its own. */
function prepareGroups(step: InferenceStep<'conv2d'>): PreparedLayer {
  const prepared = groupSteps(step).map((group) => plain.prepare(group))
  return {
    owned: prepared.flatMap(({ owned = [] }) => owned),
    run(inputs) {
      const parts = tf.split(only(inputs), prepared.length, CHANNEL_AXIS)
      const outputs = prepared.map(({ run }, group) => run([parts[group] as tf.Tensor4D]))
      return tf.concat(outputs, CHANNEL_AXIS)
    },
  }
}

const conv2d: LayerRule<'conv2d'> = {
  ...plain,
  prepare: (step) => (isGrouped(step.layer) ? prepareGroups(step) : plain.prepare(step)),
}

export { conv2d }
