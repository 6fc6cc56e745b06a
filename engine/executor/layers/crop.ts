import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf, Shape } from '../../../search-space/layer-graph.ts'
import { type LayerRule, only } from './rule.ts'

function runCrop({ top, left }: LayerOf<'crop'>, x: tf.Tensor4D, [height, width, channels]: Shape): tf.Tensor4D {
  return tf.slice(x, [0, top, left, 0], [x.shape[0], height, width, channels])
}

const crop: LayerRule<'crop'> = {
  forward: ({ layer, shape }, inputs) => ({ outputs: [runCrop(layer, only(inputs), shape)] }),
  reverse({ step, dy }) {
    const { top, left } = step.layer
    const sides = [
      [0, 0],
      [top, 0],
      [left, 0],
      [0, 0],
    ] as [number, number][]
    return { inputs: [tf.pad(dy, sides)] }
  },
  readsInputs: () => false,
  prepare: ({ layer, shape }) => ({ run: (inputs) => runCrop(layer, only(inputs), shape) }),
}

export { crop }
