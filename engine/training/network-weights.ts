// The weights that one network reads, out of a file that has them: a supernet's, a checkpoint's, a trained model's. And
// their fingerprint, which is that of the numbers, whatever file they came in.

import { createHash } from 'node:crypto'
import { badNumbers, decodeSafetensors, SafetensorsError, statisticsKeys, type Tensor } from '../../protocol/index.ts'
import {
  isWhole,
  networkWeights,
  type Path,
  sliceBegin,
  sliceValues,
  type Space,
  type SpaceRef,
  weightKeys,
} from '../../search-space/index.ts'
import type { ChannelStatistics } from '../executor/index.ts'
import { describeNames } from './weight-names.ts'

const MAX_LISTED = 5

/** The file does not have what the network needs, or numbers that are none; the message names the keys. */
class NetworkWeightsError extends Error {
  override readonly name = 'NetworkWeightsError'
  readonly code = 'network-weights'
}

type ModelWeights = {
  /** By weight key: exactly those that the network of a path reads. */
  readonly weights: ReadonlyMap<string, Tensor>
  /** Running mean and biased variance by gamma key, one for each batch-norm. */
  readonly statistics: ReadonlyMap<string, ChannelStatistics>
}

/** Weight keys that a network reads, and the gamma keys among them. */
function keysOf(space: Space, path: Path): { weights: Set<string>; gammas: Set<string> } {
  const graph = space.network(path)
  const weights = new Set(weightKeys(graph))
  const gammas = new Set(graph.layers.flatMap((layer) => (layer.kind === 'batchNorm' ? [layer.gamma] : [])))
  return { weights, gammas }
}

function decode(bytes: Uint8Array): ReadonlyMap<string, Tensor> {
  try {
    return decodeSafetensors(bytes).tensors
  } catch (error) {
    throw error instanceof SafetensorsError ? new NetworkWeightsError(error.message) : error
  }
}

/**
 * Keys of the classifiers' weights, whose last axis is classes: those of a network of more classes are not for the first of them, as
 * channels of a wider layer are for a narrower one.
 */
function classifierKeys(space: Space, path: Path): ReadonlySet<string> {
  return new Set(space.network(path).layers.flatMap((layer) => (layer.kind === 'linear' ? [layer.weights, layer.bias] : [])))
}

/**
 * Throws NetworkWeightsError unless all are there, in these shapes or larger ones that they are parts of; of `classifiers` the last axis has
 * to be the same.
 */
function pick(
  tensors: ReadonlyMap<string, Tensor>,
  wanted: ReadonlyMap<string, readonly number[]>,
  classifiers: ReadonlySet<string> = new Set(),
): Map<string, Tensor> {
  const isPartOf = (key: string, whole: readonly number[], part: readonly number[]) =>
    sliceBegin(whole, part) !== null && !(classifiers.has(key) && whole.at(-1) !== part.at(-1))
  const problems: string[] = []
  const picked = new Map<string, Tensor>()
  for (const [key, shape] of wanted) {
    const tensor = tensors.get(key)
    if (tensor && isWhole(tensor.shape, shape)) picked.set(key, tensor)
    else if (tensor && isPartOf(key, tensor.shape, shape))
      picked.set(key, { shape, values: sliceValues(tensor.values, tensor.shape, shape) })
    else problems.push(`${key} of shape [${shape}]${tensor ? `, which is [${tensor.shape}] there` : ''}`)
  }
  if (problems.length === 0) return picked
  const more = problems.length > MAX_LISTED ? ` and ${problems.length - MAX_LISTED} more` : ''
  throw new NetworkWeightsError(
    `expected weights to have ${problems.slice(0, MAX_LISTED).join('; ')}${more}; ${describeNames(tensors.keys(), wanted.keys())}`,
  )
}

function shapesOf(space: Space, path: Path, keys: Iterable<string>): Map<string, readonly number[]> {
  const specs = networkWeights(space.network(path))
  return new Map([...keys].map((key) => [key, specs.get(key)?.shape ?? []]))
}

function checkNumbers(...numbers: Parameters<typeof badNumbers>): void {
  const problem = badNumbers(...numbers)
  if (problem !== null) throw new NetworkWeightsError(problem)
}

/** Of a safetensors file that may have more, those of the network that `isTaken`. Throws NetworkWeightsError. */
function decodeWeights(
  space: Space,
  path: Path,
  bytes: Uint8Array,
  isTaken: (key: string) => boolean = () => true,
): ReadonlyMap<string, Tensor> {
  const wanted = shapesOf(space, path, [...keysOf(space, path).weights].filter(isTaken))
  const weights = pick(decode(bytes), wanted, classifierKeys(space, path))
  checkNumbers(weights)
  return weights
}

/** Of a trained model: statistics are named beside the batch-norm's gamma. Throws NetworkWeightsError. */
function decodeModelWeights(space: Space, path: Path, bytes: Uint8Array): ModelWeights {
  const tensors = decode(bytes)
  const keys = keysOf(space, path)
  const weights = pick(tensors, shapesOf(space, path, keys.weights), classifierKeys(space, path))
  const statistics = new Map(
    [...shapesOf(space, path, keys.gammas)].map(([gamma, shape]) => {
      const { mean, variance } = statisticsKeys(gamma)
      const found = pick(tensors, new Map([mean, variance].map((key) => [key, shape])))
      return [gamma, { mean: (found.get(mean) as Tensor).values, variance: (found.get(variance) as Tensor).values }]
    }),
  )
  checkNumbers(weights, statistics)
  return { weights, statistics }
}

/** SHA-256 over what the numbers belong to, and over the numbers. */
function fingerprintOf(what: unknown, values: Iterable<readonly [key: string, values: Float32Array]>): string {
  const hash = createHash('sha256').update(JSON.stringify(what))
  for (const [key, numbers] of values) hash.update(key).update(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength))
  return hash.digest('hex')
}

/** Of a trained network: SHA-256 over what it is, its weights and its statistics. */
function teacherFingerprint({
  space,
  architecture,
  weights,
  statistics,
}: ModelWeights & { space: SpaceRef; architecture: string }): string {
  const values = [...weights].map(([key, tensor]) => [key, tensor.values] as const)
  const running = [...statistics].flatMap(([gamma, { mean, variance }]) => [
    [`${gamma} mean`, mean] as const,
    [`${gamma} variance`, variance] as const,
  ])
  return fingerprintOf([space, architecture], [...values, ...running])
}

export { decodeModelWeights, decodeWeights, fingerprintOf, keysOf, type ModelWeights, NetworkWeightsError, teacherFingerprint }
