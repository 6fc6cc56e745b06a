// Networks on the active TensorFlow.js backend, in Node and in browsers alike.

import * as tf from '@tensorflow/tfjs-core'
import { createInference, type Inference } from '../../../engine/executor/inference.ts'
import type { Workbench, WorkbenchOptions } from '../workbench.ts'

function createTfjsWorkbench({ batch, weights, images }: WorkbenchOptions): Workbench {
  const inferences: Inference[] = []
  // Networks with inputs of one shape share the images: large spaces would not fit otherwise.
  const uploaded = new Map<string, tf.Tensor4D>()
  const upload = ({ inputShape }: Inference): tf.Tensor4D => {
    const name = inputShape.join('x')
    const known = uploaded.get(name)
    if (known) return known
    const tensor = tf.tensor4d(images(inputShape), [batch, ...inputShape])
    uploaded.set(name, tensor)
    return tensor
  }
  return {
    async prepare(graph) {
      const inference = createInference({ graph, weights })
      inferences.push(inference)
      const input = upload(inference)
      let output: tf.Tensor4D | undefined
      return {
        run() {
          output?.dispose()
          output = inference.run(input)
        },
        async result() {
          if (!output) throw new Error('a network has a result once it has run')
          return (await output.data()) as Float32Array
        },
        release() {
          output?.dispose()
          output = undefined
        },
      }
    },
    async dispose() {
      for (const inference of inferences) inference.dispose()
      tf.dispose([...uploaded.values()])
    },
  }
}

export { createTfjsWorkbench }
