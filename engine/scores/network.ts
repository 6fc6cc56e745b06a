// A network made ready to be scored: weights of its own as they are before training, and a clock for what is computed on it.

import type * as tf from '@tensorflow/tfjs-core'
import {
  architectureCosts,
  initialWeights,
  isWhole,
  type LayerGraph,
  networkWeights,
  type Path,
  sliceValues,
  type Space,
  type WeightSpec,
} from '../../search-space/index.ts'
import type { Backend } from '../backends/backend.ts'
import { createWeights, type Weights } from '../executor/index.ts'
import type { ScoredNetwork } from './score.ts'

const MILLISECONDS = 1000

type Candidate = {
  readonly backend: Backend
  readonly space: Space
  readonly path: Path
  /** Of the weights. */
  readonly seed: number
  /** Stay the caller's. */
  readonly images: tf.Tensor4D
  readonly labels: Int32Array
}

/** Weights of one network, in the shapes that it reads: parts of those of its space where layers share them. */
function ownWeights(backend: Backend, space: Space, wanted: ReadonlyMap<string, WeightSpec>, seed: number): Weights {
  const whole = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const wholeOf = ({ key }: WeightSpec) => whole.get(key) as WeightSpec
  const specs = [...wanted.values()].map((part) => ({ ...wholeOf(part), shape: part.shape }))
  const weights = createWeights(backend, specs, seed)
  for (const part of specs) {
    const spec = wholeOf(part)
    if (!isWhole(spec.shape, part.shape)) weights.write(part.key, sliceValues(initialWeights(spec, seed), spec.shape, part.shape))
  }
  return weights
}

type OpenNetwork = {
  readonly graph: LayerGraph
  readonly weights: Weights
  /** Runs `body`; seconds of what it shares with others count as if it had computed it. */
  timed<T>(body: (network: ScoredNetwork) => Promise<T>): Promise<{ readonly value: T; readonly seconds: number }>
}

/** Makes a network, and frees its weights when `body` is done with it. Throws SpaceError `choices` for a path not of this space. */
async function withNetwork<T>(
  { backend, space, path, seed, images, labels }: Candidate,
  body: (open: OpenNetwork) => Promise<T>,
): Promise<T> {
  const graph = space.network(path)
  const wanted = networkWeights(graph)
  const weights = ownWeights(backend, space, wanted, seed)
  const keys = [...wanted.values()].filter(({ decay }) => decay).map(({ key }) => key)
  const known = new Map<string, { readonly value: unknown; readonly ms: number }>()
  const base = { graph, weights, keys, images, labels, ...architectureCosts(space, path) }
  const timed: OpenNetwork['timed'] = async (run) => {
    let sharedMs = 0
    let insideMs = 0
    const shared: ScoredNetwork['shared'] = async <V>(name: string, compute: () => Promise<V>): Promise<V> => {
      const startMs = performance.now()
      const found = known.get(name)
      const value = found ? (found.value as V) : await compute()
      const ms = performance.now() - startMs
      if (!found) known.set(name, { value, ms })
      sharedMs += found?.ms ?? ms
      insideMs += ms
      return value
    }
    const startMs = performance.now()
    const value = await run({ ...base, shared })
    return { value, seconds: (performance.now() - startMs - insideMs + sharedMs) / MILLISECONDS }
  }
  try {
    return await body({ graph, weights, timed })
  } finally {
    weights.dispose()
  }
}

export { type Candidate, withNetwork }
