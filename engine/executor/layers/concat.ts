import * as tf from '@tensorflow/tfjs-core'

import type { LayerRule } from './rule.ts'

const CHANNEL_AXIS = 3

const concat: LayerRule<'concat'> = {
  forward: (_step, inputs) => ({ outputs: [tf.concat([...inputs], CHANNEL_AXIS)] }),
  reverse({ step, dy }) {
    const channels = step.inputShapes.map((shape) => shape[2])
    return { inputs: tf.split(dy, channels, CHANNEL_AXIS) }
  },
  readsInputs: () => false,
  prepare: () => ({ run: (inputs) => tf.concat([...inputs], CHANNEL_AXIS) }),
}

export { concat }
