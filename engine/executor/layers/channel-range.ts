import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf, Shape } from '../../../search-space/layer-graph.ts'
import { shiftChannels } from '../../kernels/operations.ts'
import { type InferenceStep, type LayerRule, only } from './rule.ts'

/** Channels of its input that it has. */
function partOf({ first, shape }: LayerOf<'channelRange'>, from: Shape | undefined): number {
  return Math.min(shape[2], (from?.[2] ?? 0) - first)
}

function runRange({ layer, inputShapes, shape }: InferenceStep<'channelRange'>, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width] = x.shape
  const part = partOf(layer, inputShapes[0])
  const taken = tf.slice(x, [0, 0, 0, layer.first], [batch, height, width, part])
  const none: [number, number] = [0, 0]
  return part === shape[2] ? taken : tf.pad(taken, [none, none, none, [0, shape[2] - part]])
}

const channelRange: LayerRule<'channelRange'> = {
  forward: ({ layer, shape }, inputs) => ({ outputs: [shiftChannels(only(inputs), layer.first, shape[2])] }),
  reverse: ({ step, dy }) => ({ inputs: [shiftChannels(dy, -step.layer.first, step.inputShapes[0]?.[2] ?? 0)] }),
  readsInputs: () => false,
  prepare: (step) => ({ run: (inputs) => runRange(step, only(inputs)) }),
}

export { channelRange }
