// Reading a tensor back. On `wasm`, `cpu` and `tensorflow` the values are in reach at once; on `webgpu` a synchronous
// read is not possible, so it has to be awaited.

import * as tf from '@tensorflow/tfjs-core'

async function readValues(tensor: tf.Tensor): Promise<Float32Array> {
  const values = tf.getBackend() === 'webgpu' ? await tensor.data() : tensor.dataSync()
  return values as Float32Array
}

export { readValues }
