// Weights to measure with: only shapes matter to time, so they are those that a training would start from.

import { initialWeights, type Space } from '../../search-space/index.ts'

/** Values of a space's weights by key, made when first asked for. */
function weightsOf(space: Space, seed: number): (key: string) => Float32Array {
  const specs = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const values = new Map<string, Float32Array>()
  return (key) => {
    const known = values.get(key)
    if (known) return known
    const spec = specs.get(key)
    if (!spec) throw new Error(`space ${space.name} has no weight ${key}`)
    const made = initialWeights(spec, seed)
    values.set(key, made)
    return made
  }
}

export { weightsOf }
