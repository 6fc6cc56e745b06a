// Stochastic gradient descent with momentum, in PyTorch's form (Sutskever et al. 2013 for Nesterov's variant):
//   g += weightDecay * w          only where the weight's spec says so
//   v  = momentum * v + g         v starts as g
//   w -= learningRate * (g + momentum * v)

import * as tf from '@tensorflow/tfjs-core'

import { sgdStep } from '../kernels/operations.ts'
import { isWhole } from '../../search-space/weight-slices.ts'
import { readValues, tensorFromShared } from './read-values.ts'
import { partOf, withPart } from './slices.ts'
import type { Weights } from './weights.ts'

type SgdOptions = {
  /** In [0, 1). */
  readonly momentum: number
  readonly nesterov: boolean
  readonly weightDecay: number
}

type Sgd = {
  /** One step on the keys in `gradients`, and no others; disposes the gradients. */
  apply(weights: Weights, gradients: ReadonlyMap<string, tf.Tensor>, learningRate: number): void
  /** Velocities on the device, by key; owned by the optimiser. */
  readonly velocities: ReadonlyMap<string, tf.Tensor>
  readVelocity(key: string): Promise<Float32Array | undefined>
  /** Goes on from a velocity that was read; `values`, row-major of the weight's shape, are copied. */
  writeVelocity(key: string, shape: readonly number[], values: Float32Array): void
  /** Forgets one velocity: the key's next step starts from v = g. */
  forget(key: string): void
  /** Forgets all velocities: the next step starts from v = g. */
  clear(): void
}

function createSgd({ momentum, nesterov, weightDecay }: SgdOptions): Sgd {
  const velocities = new Map<string, tf.Tensor>()
  const clear = () => {
    for (const velocity of velocities.values()) velocity.dispose()
    velocities.clear()
  }
  return {
    apply(weights, gradients, learningRate) {
      for (const [key, gradient] of gradients) {
        const weight = weights.get(key)
        const isPart = !isWhole(weight.shape, gradient.shape)
        const whole = velocities.get(key) ?? tf.zeros(weight.shape)
        const before = isPart ? partOf(key, whole, gradient.shape) : whole
        const attributes = {
          learningRate,
          momentum,
          nesterov,
          weightDecay: weights.spec(key).decay ? weightDecay : 0,
        }
        const own = isPart ? partOf(key, weight, gradient.shape) : weight
        const part = sgdStep({ weight: own, velocity: before, gradient }, attributes)
        // What the step did not use stays as it is, its velocity too.
        const next = isPart ? { weight: withPart(key, weight, part.weight), velocity: withPart(key, whole, part.velocity) } : part
        if (isPart) tf.dispose([own, before, part.weight, part.velocity])
        whole.dispose()
        gradient.dispose()
        velocities.set(key, tf.keep(next.velocity))
        weights.replace(key, next.weight)
      }
    },
    velocities,
    async readVelocity(key) {
      const velocity = velocities.get(key)
      return velocity && (await readValues(velocity)).slice()
    },
    writeVelocity(key, shape, values) {
      velocities.get(key)?.dispose()
      velocities.set(key, tf.keep(tensorFromShared(values, shape)))
    },
    forget(key) {
      velocities.get(key)?.dispose()
      velocities.delete(key)
    },
    clear,
  }
}

/** Cosine schedule (Loshchilov and Hutter 2017, without restarts): `base` at step 0, 0 at `total`. */
function cosineRate(step: number, total: number, base: number): number {
  return (base / 2) * (1 + Math.cos((Math.PI * Math.min(step, total)) / total))
}

export { cosineRate, createSgd, type Sgd, type SgdOptions }
