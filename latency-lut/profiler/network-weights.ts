// Weights to measure with: only shapes matter to time, so they are those that a training would start from.

import { initialWeights, isWhole, sliceValues, type Space } from '../../search-space/index.ts'

/** Values of a space's weights by key, or of parts of them, made when first asked for. */
function weightsOf(space: Space, seed: number): (key: string, shape: readonly number[]) => Float32Array {
  const specs = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const values = new Map<string, Float32Array>()
  return (key, shape) => {
    const spec = specs.get(key)
    if (!spec) throw new Error(`space ${space.name} has no weight ${key}`)
    const whole = values.get(key) ?? initialWeights(spec, seed)
    values.set(key, whole)
    return isWhole(spec.shape, shape) ? whole : sliceValues(whole, spec.shape, shape)
  }
}

export { weightsOf }
