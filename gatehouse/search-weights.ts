// All weights of a search, as its coordinator has them.

import { planShards, type Tensor } from '../protocol/index.ts'
import { initialWeights, type Space } from '../search-space/index.ts'
import type { CoordinatorClient } from '../command-line/coordinator-client.ts'

type SearchWeights = {
  /** Of every weight of the space, by key. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** How many of them a task has changed. */
  readonly trained: number
}

/** A shard sends what a task has changed; agents make the rest from the seed, and so does this. */
async function readSearchWeights(
  client: Pick<CoordinatorClient, 'pullWeights'>,
  searchId: string,
  space: Space,
  { weights, seed }: { readonly weights: { readonly shardBytes: number }; readonly seed: number },
): Promise<SearchWeights> {
  const trained = new Map<string, Tensor>()
  const { count, shardOf } = planShards(space, weights.shardBytes)
  for (let shard = 0; shard < count; shard++) {
    const keys = space.weightSpecs.map(({ key }) => key).filter((key) => shardOf.get(key) === shard)
    for (const [key, tensor] of await client.pullWeights(searchId, shard, keys)) trained.set(key, tensor)
  }
  const tensors = new Map(
    space.weightSpecs.map((spec) => [spec.key, trained.get(spec.key) ?? { shape: spec.shape, values: initialWeights(spec, seed) }]),
  )
  return { tensors, trained: trained.size }
}

export { readSearchWeights, type SearchWeights }
