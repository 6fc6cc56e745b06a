import * as tf from '@tensorflow/tfjs-core'

import { sum } from '../../kernels/operations.ts'
import type { LayerRule } from './rule.ts'

const add: LayerRule<'add'> = {
  forward: (_step, [a, b]) => ({ outputs: [sum(a as tf.Tensor, b as tf.Tensor)] }),
  reverse: ({ dy }) => ({ inputs: [dy, dy] }),
  readsInputs: () => false,
  prepare: () => ({ run: ([a, b]) => tf.add(a as tf.Tensor4D, b as tf.Tensor4D) }),
}

export { add }
