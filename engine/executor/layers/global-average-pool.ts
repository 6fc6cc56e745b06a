import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../../kernels/operations.ts'
import { type LayerRule, only } from './rule.ts'

const globalAveragePool: LayerRule<'globalAveragePool'> = {
  forward: (_step, inputs) => ({ outputs: [kernels.globalAveragePool(only(inputs))] }),
  reverse({ step, dy }) {
    const [height = 1, width = 1] = step.inputShapes[0] ?? []
    return { inputs: [kernels.globalAveragePoolGradient(dy, height, width)] }
  },
  readsInputs: () => false,
  prepare: () => ({ run: (inputs) => tf.mean(only(inputs), [1, 2], true) }),
}

export { globalAveragePool }
