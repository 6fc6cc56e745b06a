// Weights that a training starts from: a safetensors file with the keys of the search, such as a supernet's weights or
// the file of another trained model.

import { readFileSync } from 'node:fs'
import type { Path, Space } from '../search-space/index.ts'
import type { InitialWeights } from '../engine/training/from-scratch.ts'
import { decodeInitialWeights, type Except } from '../engine/training/initial-weights.ts'
import { NetworkWeightsError } from '../engine/training/network-weights.ts'

/**
 * Those weights of the file that the network of `path` reads, but for those of the parts in `except`, which are random. Throws
 * NetworkWeightsError unless it has them all, in their shapes.
 */
function readInitialWeights(file: string, space: Space, path: Path, except?: Except): InitialWeights {
  try {
    return decodeInitialWeights(space, path, readFileSync(file), except)
  } catch (error) {
    const isKnown = error instanceof NetworkWeightsError || (error as NodeJS.ErrnoException).code !== undefined
    throw isKnown ? new NetworkWeightsError(`cannot read weights from ${file}: ${(error as Error).message}`) : error
  }
}

export { readInitialWeights }
