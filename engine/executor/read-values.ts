// Reading a tensor back. On `wasm`, `cpu` and `tensorflow` the values are in reach at once; on `webgpu` a synchronous
// read is not possible, so it has to be awaited.

import * as tf from '@tensorflow/tfjs-core'

async function readValues(tensor: tf.Tensor): Promise<Float32Array> {
  const values = tf.getBackend() === 'webgpu' ? await tensor.data() : tensor.dataSync()
  return values as Float32Array
}

/** The values in the backend's own memory, good until the next kernel runs, where they can be looked at there: on `wasm`. */
function viewValues(tensor: tf.Tensor): Float32Array | null {
  const backend: object = tf.backend()
  if (!('typedArrayFromHeap' in backend) || typeof backend.typedArrayFromHeap !== 'function') return null
  return backend.typedArrayFromHeap(tensor)
}

/** Copies the values to shared memory, on a backend that reads synchronously. */
function copyToShared(tensor: tf.Tensor, target: Float32Array): void {
  target.set(viewValues(tensor) ?? tensor.dataSync<'float32'>())
}

/** A tensor with values from shared memory, which may change afterwards. */
function tensorFromShared(values: Float32Array, shape: readonly number[]): tf.Tensor {
  // The wasm backend copies them into its memory at once; others may keep the array that they are given.
  return tf.tensor(tf.getBackend() === 'wasm' ? values : values.slice(), [...shape], 'float32')
}

export { copyToShared, readValues, tensorFromShared }
