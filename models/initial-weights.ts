// Weights that a training starts from: a safetensors file with the keys of the search, such as a supernet's weights or
// the file of another trained model.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { decodeSafetensors, SafetensorsError, type Tensor } from '../coordinator/protocol/index.ts'
import type { Path, Space } from '../search-space/index.ts'
import type { InitialWeights } from '../worker-agent/training/from-scratch.ts'
import { keysOf } from './model-folder.ts'

const MAX_LISTED = 5

/** The file does not have what the network needs; the message names the keys. */
class InitialWeightsError extends Error {
  override readonly name = 'InitialWeightsError'
  readonly code = 'initial-weights'
}

/** Those weights of the file that the network of `path` reads. Throws InitialWeightsError unless it has them all, in their shapes. */
function readInitialWeights(file: string, space: Space, path: Path): InitialWeights {
  let bytes: Uint8Array
  let found: ReadonlyMap<string, Tensor>
  try {
    bytes = readFileSync(file)
    found = decodeSafetensors(bytes).tensors
  } catch (error) {
    if (error instanceof SafetensorsError || (error as NodeJS.ErrnoException).code !== undefined) {
      throw new InitialWeightsError(`cannot read weights from ${file}: ${(error as Error).message}`)
    }
    throw error
  }
  const shapes = new Map(space.weightSpecs.map(({ key, shape }) => [key, shape]))
  const problems: string[] = []
  const tensors = new Map<string, Tensor>()
  for (const key of keysOf(space, path).weights) {
    const shape = shapes.get(key) ?? []
    const tensor = found.get(key)
    if (tensor && JSON.stringify(tensor.shape) === JSON.stringify(shape)) tensors.set(key, tensor)
    else problems.push(`${key} of shape [${shape}]${tensor ? `, which is [${tensor.shape}] there` : ''}`)
  }
  if (problems.length > 0) {
    const more = problems.length > MAX_LISTED ? ` and ${problems.length - MAX_LISTED} more` : ''
    throw new InitialWeightsError(`expected ${file} to have ${problems.slice(0, MAX_LISTED).join('; ')}${more}`)
  }
  return { fingerprint: createHash('sha256').update(bytes).digest('hex'), tensors }
}

export { InitialWeightsError, readInitialWeights }
