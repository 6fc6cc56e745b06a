// Weights that a training starts from: those of its network out of a file with the keys of the search.

import type { Path, Space } from '../../search-space/index.ts'
import type { InitialWeights } from './from-scratch.ts'
import { decodeWeights, fingerprintOf } from './network-weights.ts'

/** Out of a safetensors file. Throws NetworkWeightsError where it lacks some. */
function decodeInitialWeights(space: Space, path: Path, bytes: Uint8Array): InitialWeights {
  const tensors = decodeWeights(space, path, bytes)
  const fingerprint = fingerprintOf(
    'initial',
    [...tensors].map(([key, { values }]) => [key, values] as const),
  )
  return { fingerprint, tensors }
}

export { decodeInitialWeights }
