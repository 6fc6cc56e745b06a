// Keeps this agent's weights and the shards' in step.
//
// For every key there is the local weight W, which only training changes, and the mirror M: what the shard has, as far as
// this agent knows. A task pushes D = W − M, and the shard and the mirror both add D. What rounding keeps back (one unit in
// the last place with float32, more with bfloat16 or int8) stays in W − M and goes with the next push: error feedback (Seide et
// al. 2014) without a word about it below. Weights P that others have changed are taken in as W ← P + (W − M), M ← P.
//
// `held` counts what a mirror contains: the version pulled, plus own pushes that were applied whole. A shard that has more
// sends it with the next pull. After a push that was scaled, or that somebody else's delivery of the same task has made
// void, the mirror is off, so the next pull is forced.
//
// With one agent nothing is ever scaled or pulled: it trains exactly as a single process would, bit for bit.

import { type RegisterResponse, rounded, type SearchConfig, type ShardPlan, type Tensor } from '../../coordinator/protocol/index.ts'
import type { CoordinatorClient, PulledTensor } from '../client/coordinator-client.ts'
import type { Weights } from '../executor/index.ts'

const FORCE_PULL = -1

type Pulled = ReadonlyMap<string, PulledTensor>

/** What one task has changed, with the versions it was made from. */
type Differences = {
  readonly values: ReadonlyMap<string, Float32Array<ArrayBuffer>>
  /** Raised while an earlier push of the same keys is still being answered: one's own pushes are no staleness. */
  readonly baseVersions: Map<string, number>
}

type WeightExchange = {
  /** Fetches what the shards have newer of these keys. */
  pull(keys: readonly string[]): Promise<Pulled>
  /** Takes pulled weights in; `unpushed` is what the task just finished has changed and the shards do not have yet. */
  adopt(pulled: Pulled, unpushed: Differences | null): Promise<void>
  /** To be called before a task changes these weights. */
  begin(keys: readonly string[]): Promise<void>
  /** What is to be pushed of these keys. */
  differences(keys: readonly string[]): Promise<Differences>
  push(taskId: number, differences: Differences): Promise<void>
  /** Gives local weights up: the next pull gets these keys as the shards have them. */
  discard(keys: Iterable<string>): void
}

type ExchangeOptions = {
  readonly client: CoordinatorClient
  readonly agent: Pick<RegisterResponse, 'agentId'>
  readonly encoding: SearchConfig['weights']['encoding']
  readonly plan: ShardPlan
  readonly weights: Weights
}

function byShard<T>(plan: ShardPlan, entries: Iterable<readonly [string, T]>): Map<number, Map<string, T>> {
  const shards = new Map<number, Map<string, T>>()
  for (const [key, value] of entries) {
    const shard = plan.shardOf.get(key)
    if (shard === undefined) throw new Error(`weight ${key} is on no shard`)
    const members = shards.get(shard) ?? new Map<string, T>()
    members.set(key, value)
    shards.set(shard, members)
  }
  return shards
}

function add(a: Float32Array, b: Float32Array): Float32Array<ArrayBuffer> {
  const sum = new Float32Array(a.length)
  for (let i = 0; i < a.length; i++) sum[i] = (a[i] as number) + (b[i] as number)
  return sum
}

function subtract(a: Float32Array, b: Float32Array): Float32Array<ArrayBuffer> {
  const difference = new Float32Array(a.length)
  for (let i = 0; i < a.length; i++) difference[i] = (a[i] as number) - (b[i] as number)
  return difference
}

function createWeightExchange({ client, agent, encoding, plan, weights }: ExchangeOptions): WeightExchange {
  const held = new Map<string, number>()
  const mirrors = new Map<string, Float32Array>()
  /** Made, but not yet on its way. */
  let unsent: Differences | null = null
  const heldVersion = (key: string) => held.get(key) ?? 0

  return {
    async pull(keys) {
      const wanted = byShard(
        plan,
        keys.map((key) => [key, heldVersion(key)] as const),
      )
      const answers = await Promise.all([...wanted].map(([shard, members]) => client.pull(shard, Object.fromEntries(members))))
      return new Map(answers.flatMap((answer) => [...answer]))
    },

    async adopt(pulled, unpushed) {
      for (const [key, { values, version }] of pulled) {
        const own = unpushed?.values.get(key)
        const mirror = mirrors.get(key)
        // The mirror already contains `own`, the shard does not: W − M + own is all that the shard lacks.
        const next = own ? add(values, own) : values
        weights.write(key, mirror ? add(next, subtract(await weights.read(key), mirror)) : next)
        mirrors.set(key, next)
        held.set(key, version)
      }
    },

    async begin(keys) {
      for (const key of keys) if (!mirrors.has(key)) mirrors.set(key, await weights.read(key))
    },

    async differences(keys) {
      const values = new Map<string, Float32Array<ArrayBuffer>>()
      const baseVersions = new Map<string, number>()
      for (const key of keys) {
        const mirror = mirrors.get(key)
        if (!mirror) throw new Error(`weight ${key} was changed without begin()`)
        const exact = subtract(await weights.read(key), mirror)
        const sent = rounded(encoding, exact)
        values.set(key, sent)
        baseVersions.set(key, Math.max(0, heldVersion(key)))
        mirrors.set(key, add(mirror, sent))
      }
      unsent = { values, baseVersions }
      return unsent
    },

    async push(taskId, differences) {
      if (unsent === differences) unsent = null
      const { values, baseVersions } = differences
      const tensors = [...values].map(
        ([key, difference]) => [key, { shape: weights.spec(key).shape, values: difference } satisfies Tensor] as const,
      )
      await Promise.all(
        [...byShard(plan, tensors)].map(async ([shard, members]) => {
          const versions = Object.fromEntries([...members.keys()].map((key) => [key, baseVersions.get(key) ?? 0]))
          const answer = await client.push(shard, { agentId: agent.agentId, taskId }, members, versions, encoding)
          for (const key of members.keys()) {
            const base = unsent?.baseVersions.get(key)
            if (answer.kind === 'applied' && base !== undefined) unsent?.baseVersions.set(key, base + 1)
            const whole = answer.kind === 'applied' && answer.scales[key] === undefined
            held.set(key, whole && heldVersion(key) !== FORCE_PULL ? heldVersion(key) + 1 : FORCE_PULL)
          }
        }),
      )
    },

    discard(keys) {
      for (const key of keys) {
        held.set(key, FORCE_PULL)
        mirrors.delete(key)
      }
    },
  }
}

export { createWeightExchange, type Differences, type Pulled, type WeightExchange }
