// Weights that a training starts from: those of its network out of a file with the keys of the search. Those of some parts can be left
// random instead: a network that was trained on other classes has a classifier of another shape (fine-tuning, Yosinski et al. 2014).

import { initialWeights, networkWeights, type Path, type Space } from '../../search-space/index.ts'
import type { Tensor } from '../../protocol/index.ts'
import type { InitialWeights } from './from-scratch.ts'
import { decodeWeights, fingerprintOf, NetworkWeightsError } from './network-weights.ts'

type Except = {
  /** Parts whose weights are not taken: keys, or what stands before a slash in them. */
  readonly parts: readonly string[]
  /** Of their random weights: that of the training, which would make the same ones. */
  readonly seed: number
}

function isOfPart(key: string, part: string): boolean {
  return key === part || key.startsWith(`${part}/`)
}

/** Throws NetworkWeightsError for a part that no weight of the network is of. */
function checkParts(keys: readonly string[], parts: readonly string[]): void {
  const strange = parts.find((part) => !keys.some((key) => isOfPart(key, part)))
  if (strange === undefined) return
  const known = [...new Set(keys.map((key) => key.split('/')[0]))]
  throw new NetworkWeightsError(`no weight of the network is of the part ${strange}; it has ${known.join(', ')}`)
}

/** Out of a safetensors file. Throws NetworkWeightsError where it lacks some. */
function decodeInitialWeights(space: Space, path: Path, bytes: Uint8Array, except: Except = { parts: [], seed: 0 }): InitialWeights {
  const specs = networkWeights(space.network(path))
  checkParts([...specs.keys()], except.parts)
  const isTaken = (key: string) => !except.parts.some((part) => isOfPart(key, part))
  const taken = decodeWeights(space, path, bytes, isTaken)
  const tensors = new Map<string, Tensor>()
  for (const [key, spec] of specs) tensors.set(key, taken.get(key) ?? { shape: spec.shape, values: initialWeights(spec, except.seed) })
  const fingerprint = fingerprintOf(
    'initial',
    [...tensors].map(([key, { values }]) => [key, values] as const),
  )
  return { fingerprint, tensors }
}

export { decodeInitialWeights, type Except }
