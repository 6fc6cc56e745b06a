// Who still needs a tensor. The executor runs without TensorFlow.js's tape and scopes, so every tensor is counted:
// a reader holds it, releases it when done, and the last release frees its memory at once.

import * as tf from '@tensorflow/tfjs-core'

type Holdings = {
  /** One more (or `times` more) readers of a tensor; the first hold makes it owned. */
  hold<T extends tf.Tensor>(tensor: T, times?: number): T
  /** One reader is done; the last one disposes the tensor. */
  release(tensor: tf.Tensor): void
  /** Whether one hold is left: its owner may overwrite the tensor. */
  isLast(tensor: tf.Tensor): boolean
  /** Gives up ownership without disposing: the caller has it now. */
  handOver<T extends tf.Tensor>(tensor: T): T
  /** Marks a tensor of the caller's, which is never disposed here. */
  borrow<T extends tf.Tensor>(tensor: T): T
  /** Disposes whatever is left; after a complete pass nothing is, after an error everything. */
  disposeAll(): void
  /** Most bytes of tensors so far, beyond those that there were at the start. */
  peakBytes(): number
}

function createHoldings(): Holdings {
  const counts = new Map<tf.Tensor, number>()
  const borrowed = new Set<tf.Tensor>()
  // The engine's own counter: `tf.memory()` asks the backend as well, too much for every tensor.
  const { state } = tf.engine()
  const startBytes = state.numBytes
  let peakBytes = startBytes
  return {
    hold(tensor, times = 1) {
      if (state.numBytes > peakBytes) peakBytes = state.numBytes
      if (!borrowed.has(tensor)) counts.set(tensor, (counts.get(tensor) ?? 0) + times)
      return tensor
    },
    release(tensor) {
      if (borrowed.has(tensor)) return
      const left = (counts.get(tensor) ?? 1) - 1
      if (left > 0) {
        counts.set(tensor, left)
      } else {
        counts.delete(tensor)
        tensor.dispose()
      }
    },
    isLast: (tensor) => counts.get(tensor) === 1,
    handOver(tensor) {
      counts.delete(tensor)
      return tensor
    },
    borrow(tensor) {
      borrowed.add(tensor)
      return tensor
    },
    disposeAll() {
      for (const tensor of counts.keys()) tensor.dispose()
      counts.clear()
    },
    peakBytes: () => peakBytes - startBytes,
  }
}

/** Runs `work` with its own holdings and frees what it left behind, also when it throws. */
async function withHoldings<T>(work: (holdings: Holdings) => Promise<T>): Promise<T> {
  const holdings = createHoldings()
  try {
    return await work(holdings)
  } finally {
    holdings.disposeAll()
  }
}

export { type Holdings, withHoldings }
