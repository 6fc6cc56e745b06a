// Version 0 of every weight, computed rather than sent: each tensor is drawn from a generator seeded by the search's
// seed and the tensor's own key, so agents and shards agree on it without a transfer.
// He normal with fan-out: He et al. 2015, "Delving Deep into Rectifiers", section 2.2 (backward form).

import type { WeightSpec } from './layers/layer.ts'
import { createRandom, seedState } from './random.ts'

/** Number of elements of a tensor of this shape. */
function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** The starting values of one weight tensor, row-major in its own shape. */
function initialWeights(spec: WeightSpec, seed: number): Float32Array {
  const values = new Float32Array(elementCount(spec.shape))
  const { initialiser } = spec
  switch (initialiser.kind) {
    case 'zeros':
      return values
    case 'ones':
      return values.fill(1)
    case 'he-normal-fan-out': {
      const random = createRandom(seedState('weights', seed, spec.key))
      const deviation = Math.sqrt(2 / initialiser.fanOut)
      for (let i = 0; i < values.length; i++) values[i] = random.normal() * deviation
      return values
    }
    case 'uniform-fan-in': {
      const random = createRandom(seedState('weights', seed, spec.key))
      const bound = 1 / Math.sqrt(initialiser.fanIn)
      for (let i = 0; i < values.length; i++) values[i] = (random.uniform() * 2 - 1) * bound
      return values
    }
    default:
      return initialiser satisfies never
  }
}

export { elementCount, initialWeights }
