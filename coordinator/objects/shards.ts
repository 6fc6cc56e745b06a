// A search's shards, reached from the search: only when it is created or deleted and when tokens change, never while
// agents train (they talk to shards themselves).

import { MAX_SHARDS, type Outcome, planShards, type TokenRecord } from '../../protocol/index.ts'
import type { OpenSearch } from '../../rules/search/index.ts'
import type { ShardSetup } from './stored-shard.ts'
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

function shardSetup({ setup }: OpenSearch, shard: number): ShardSetup {
  const { searchId, space, config } = setup
  const { shardBytes, encoding, staleness } = config.weights
  return { searchId, space, seed: config.seed, shard, shardBytes, encoding, staleness }
}

async function createShards(namespace: DurableObjectNamespace<WeightsObject>, search: OpenSearch, token: TokenRecord): Promise<void> {
  await Promise.all(shardsOf(namespace, search).map((stub, shard) => stub.create(shardSetup(search, shard), token)))
}

/**
 * Makes a token good at every shard. One that is not there yet is created: whoever created the search was cut off before it was, and
 * has never seen a token of it.
 */
async function addTokenToShards(
  namespace: DurableObjectNamespace<WeightsObject>,
  search: OpenSearch,
  token: TokenRecord,
): Promise<Outcome<null>> {
  const outcomes = await Promise.all(
    shardsOf(namespace, search).map(async (stub, shard): Promise<Outcome<null>> => {
      const added = await stub.addToken(token)
      if (added.ok || added.refusal.code !== 'not-found') return added
      await stub.create(shardSetup(search, shard), token)
      return { ok: true, value: null }
    }),
  )
  return outcomes.find((outcome) => !outcome.ok) ?? { ok: true, value: null }
}

/** Ends the import of every shard. */
function finishShards(namespace: DurableObjectNamespace<WeightsObject>, search: OpenSearch, token: TokenRecord): Promise<Outcome<null>[]> {
  return Promise.all(shardsOf(namespace, search).map((stub, shard) => stub.finishImport(shardSetup(search, shard), token)))
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

export { addTokenToShards, createShards, destroyAllShards, destroyShards, finishShards, shardName, shardsOf }
