// The weight tensors of a space on the device, by key. A tensor is made when it is first asked for, from the search's
// seed, so that an agent holds only what its paths have used.

import * as tf from '@tensorflow/tfjs-core'

import { elementCount, initialWeights } from '../../search-space/initialise.ts'
import type { WeightSpec } from '../../search-space/layer-graph.ts'
import type { Backend } from '../backends/backend.ts'
import { readValues } from './read-values.ts'

type Weights = {
  readonly specs: ReadonlyMap<string, WeightSpec>
  spec(key: string): WeightSpec
  /** The tensor, owned by the weights: do not dispose. Valid until the key is replaced or written. */
  get(key: string): tf.Tensor
  /** A copy of the values, row-major. */
  read(key: string): Promise<Float32Array>
  /** Overwrites a tensor with `values`, which are copied. */
  write(key: string, values: Float32Array): void
  /** Takes over `tensor` in place of the old one, which is disposed. */
  replace(key: string, tensor: tf.Tensor): void
  /** Keys that have a tensor by now. */
  materialised(): readonly string[]
  /** Frees one tensor; the next `get` starts again from the seed. */
  forget(key: string): void
  dispose(): void
}

/** A key that the space does not have, or values of the wrong length for it. */
class WeightError extends Error {
  readonly code = 'invalid-weight'
}

function createWeights(backend: Backend, specs: readonly WeightSpec[], seed: number): Weights {
  const byKey = new Map(specs.map((spec) => [spec.key, spec]))
  const tensors = new Map<string, tf.Tensor>()

  const spec = (key: string): WeightSpec => {
    const found = byKey.get(key)
    if (!found) throw new WeightError(`no weight is called ${key}; the space has ${byKey.size} others`)
    return found
  }

  const replace = (key: string, tensor: tf.Tensor) => {
    // Kept out of any tf.tidy that the caller may be in.
    const next = tf.keep(tensor)
    tensors.get(key)?.dispose()
    tensors.set(key, next)
  }

  const write = (key: string, values: Float32Array) => {
    const { shape } = spec(key)
    if (values.length !== elementCount(shape)) {
      throw new WeightError(`expected ${elementCount(shape)} values for ${key} of shape [${shape}], got ${values.length}`)
    }
    // A copy: the cpu backend would keep the caller's own array.
    replace(key, tf.tensor(values.slice(), [...shape], 'float32'))
  }

  return {
    specs: byKey,
    spec,
    get(key) {
      if (tf.getBackend() !== backend.name) {
        throw new WeightError(`weights live on ${backend.name}, but ${tf.getBackend()} is active`)
      }
      const known = tensors.get(key)
      if (known) return known
      write(key, initialWeights(spec(key), seed))
      return tensors.get(key) as tf.Tensor
    },
    async read(key) {
      const known = tensors.get(key)
      return known ? (await readValues(known)).slice() : initialWeights(spec(key), seed)
    },
    write,
    replace(key, tensor) {
      spec(key)
      replace(key, tensor)
    },
    materialised: () => [...tensors.keys()],
    forget(key) {
      tensors.get(key)?.dispose()
      tensors.delete(key)
    },
    dispose() {
      for (const tensor of tensors.values()) tensor.dispose()
      tensors.clear()
    },
  }
}

export { createWeights, type Weights }
