import * as tf from '@tensorflow/tfjs-core'

import { type LayerRule, only, withBatch } from './rule.ts'

const zero: LayerRule<'zero'> = {
  forward: (step, inputs) => ({ outputs: [tf.zeros(withBatch(only(inputs), step.shape))] }),
  reverse: () => ({ inputs: [undefined] }),
  readsInputs: () => false,
  isZero: true,
  prepare: ({ shape }) => ({ run: (inputs) => tf.zeros([only(inputs).shape[0], ...shape]) }),
}

export { zero }
