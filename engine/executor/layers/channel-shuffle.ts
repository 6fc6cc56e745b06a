import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf } from '../../../search-space/layer-graph.ts'
import { shuffleChannels } from '../../kernels/operations.ts'
import { type LayerRule, only } from './rule.ts'

function runShuffle({ groups }: LayerOf<'channelShuffle'>, x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape
  const runs = tf.reshape(x, [batch * height * width, groups, channels / groups])
  return tf.reshape(tf.transpose(runs, [0, 2, 1]), x.shape)
}

const channelShuffle: LayerRule<'channelShuffle'> = {
  forward: ({ layer }, inputs) => ({ outputs: [shuffleChannels(only(inputs), layer.groups)] }),
  reverse: ({ step, dy }) => ({ inputs: [shuffleChannels(dy, step.shape[2] / step.layer.groups)] }),
  readsInputs: () => false,
  prepare: ({ layer }) => ({ run: (inputs) => runShuffle(layer, only(inputs)) }),
}

export { channelShuffle }
