// What a training asks of an optimiser: steps, and its state as tensors by weight key, so that a training can go on elsewhere.

import * as tf from '@tensorflow/tfjs-core'
import { readValues, tensorFromShared } from './read-values.ts'
import type { Weights } from './weights.ts'

/** One tensor of state per weight. */
type Moments = {
  /** The tensor, owned by the moments; zeros of that shape before there is one. */
  of(key: string, shape: readonly number[]): tf.Tensor
  /** Takes the tensor over in place of the old one. */
  set(key: string, tensor: tf.Tensor): void
  /** Values row-major, a copy; undefined before the first step. */
  read(key: string): Promise<Float32Array | undefined>
  /** Goes on from values that were read, which are copied. */
  write(key: string, shape: readonly number[], values: Float32Array): void
  clear(): void
}

/** Names of the kinds of state; the first is that of a checkpoint's `velocity/`. */
type MomentName = 'velocities' | 'squares'

type Optimiser = {
  /** Step number `step`, from 0, on the keys in `gradients` and no others; disposes the gradients. */
  apply(weights: Weights, gradients: ReadonlyMap<string, tf.Tensor>, rate: number, step: number): void
  /** Those that the optimiser has. */
  readonly moments: { readonly [Name in MomentName]?: Pick<Moments, 'read' | 'write'> }
  dispose(): void
}

function createMoments(): Moments {
  const tensors = new Map<string, tf.Tensor>()
  const set = (key: string, tensor: tf.Tensor) => {
    tensors.get(key)?.dispose()
    tensors.set(key, tf.keep(tensor))
  }
  return {
    of: (key, shape) => tensors.get(key) ?? tf.zeros([...shape]),
    set,
    async read(key) {
      const tensor = tensors.get(key)
      return tensor && (await readValues(tensor)).slice()
    },
    write: (key, shape, values) => set(key, tensorFromShared(values, shape)),
    clear() {
      for (const tensor of tensors.values()) tensor.dispose()
      tensors.clear()
    },
  }
}

/** Euclidean norm of all tensors together: a scalar. One kernel that reads them all is more than WebGPU binds at once. */
function globalNorm(tensors: Iterable<tf.Tensor>): tf.Tensor {
  return tf.tidy(() => tf.sqrt(tf.sum(tf.stack(Array.from(tensors, (tensor) => tf.sum(tf.square(tensor)))))))
}

/**
 * Scales gradients down so that their Euclidean norm, of all together, is at most `maxNorm` (Pascanu, Mikolov and Bengio 2013), as
 * PyTorch's clip_grad_norm_ does: g ← g · min(1, maxNorm / (‖g‖ + 1e-6)). Disposes the given ones; the result is the caller's.
 */
function clipGradients(gradients: ReadonlyMap<string, tf.Tensor>, maxNorm: number): Map<string, tf.Tensor> {
  const SAFE = 1e-6
  const scale = tf.tidy(() => {
    return tf.minimum(1, tf.div(maxNorm, tf.add(globalNorm(gradients.values()), SAFE)))
  })
  const clipped = new Map([...gradients].map(([key, gradient]) => [key, tf.mul(gradient, scale)]))
  tf.dispose([scale, ...gradients.values()])
  return clipped
}

export { clipGradients, createMoments, globalNorm, type MomentName, type Moments, type Optimiser }
