// A search's shards, reached from the search: only when it is created or deleted and when tokens change, never while
// agents train (they talk to shards themselves).

import { MAX_SHARDS, planShards, type TokenRecord } from '../../protocol/index.ts'
import type { OpenSearch } from '../../rules/search/index.ts'
import type { WeightsObject } from './weights-object.ts'

/** Name of the object that holds a shard. */
function shardName(searchId: string, shard: number): string {
  return `${searchId}:${shard}`
}

function shardsOf(namespace: DurableObjectNamespace<WeightsObject>, search: OpenSearch) {
  const { setup, context } = search
  const { count } = planShards(context.space, setup.config.weights.shardBytes)
  return Array.from({ length: count }, (_, shard) => namespace.getByName(shardName(setup.searchId, shard)))
}

async function createShards(namespace: DurableObjectNamespace<WeightsObject>, search: OpenSearch, token: TokenRecord): Promise<void> {
  const { searchId, space, config } = search.setup
  const { shardBytes, encoding, staleness } = config.weights
  await Promise.all(
    shardsOf(namespace, search).map((stub, shard) =>
      stub.create({ searchId, space, seed: config.seed, shard, shardBytes, encoding, staleness }, token),
    ),
  )
}

async function destroyShards(namespace: DurableObjectNamespace<WeightsObject>, search: OpenSearch): Promise<void> {
  await Promise.all(shardsOf(namespace, search).map((stub) => stub.destroy()))
}

/** The same where the search cannot be read, and with it how many shards it has: as many as there are. */
async function destroyAllShards(namespace: DurableObjectNamespace<WeightsObject>, searchId: string): Promise<void> {
  for (let first = 0; ; first += MAX_SHARDS) {
    const shards = Array.from({ length: MAX_SHARDS }, (_, i) => namespace.getByName(shardName(searchId, first + i)))
    const existed = await Promise.all(shards.map((stub) => stub.destroy()))
    // A newer version may allow more of them.
    if (!existed.at(-1)) return
  }
}

export { createShards, destroyAllShards, destroyShards, shardName, shardsOf }
