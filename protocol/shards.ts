// Which weight key lives on which shard: keys in the space's order fill one shard after another, so that every agent
// computes the same without asking.

import { elementCount, type Space } from '../search-space/index.ts'

const FLOAT_BYTES = 4

type ShardPlan = {
  readonly count: number
  /** Shard of every weight key. */
  readonly shardOf: ReadonlyMap<string, number>
}

/** Shards of at most `shardBytes` float32 bytes each; a single larger tensor gets a shard of its own. */
function planShards(space: Space, shardBytes: number): ShardPlan {
  const shardOf = new Map<string, number>()
  let shard = 0
  let filled = 0
  for (const spec of space.weightSpecs) {
    const size = elementCount(spec.shape) * FLOAT_BYTES
    if (filled > 0 && filled + size > shardBytes) {
      shard += 1
      filled = 0
    }
    shardOf.set(spec.key, shard)
    filled += size
  }
  return { count: shard + 1, shardOf }
}

export { planShards, type ShardPlan }
