// min(max(x, 0), 6), and NaN where x is NaN. TensorFlow.js's own relu6 and clipByValue give 0 for NaN on `wasm`, so that a network with
// broken weights answers like a sound one. Its minimum is `b < a ? b : a` there, which keeps a NaN of the first argument alone.

import * as tf from '@tensorflow/tfjs-core'

const LIMIT = 6

function relu6<T extends tf.Tensor>(x: T): T {
  return tf.tidy(() => tf.minimum(tf.relu(x), LIMIT) as T)
}

export { relu6 }
