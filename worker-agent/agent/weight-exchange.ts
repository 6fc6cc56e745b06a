// Keeps this agent's weights and the shards' in step: which requests are made, when, and what their answers mean for the
// state of each weight (mirrored-weight.ts).
//
// Requests to one shard wait for each other, in the order in which they were asked for. So a pull's answer contains exactly
// those of this agent's pushes that were acknowledged before.
//
// With one agent nothing is ever scaled or pulled: it trains exactly as a single process would, bit for bit.
//
// A velocity is pulled and pushed as a weight is. Pulls bring whole weights; of one that a task has trained in part, that part is pushed.

import { isVelocityKey, type RegisterResponse, rounded, type SearchConfig, type ShardPlan, weightKeyOf } from '../../protocol/index.ts'
import type { CoordinatorClient } from '../client/coordinator-client.ts'
import { CoordinatorError } from '../client/requests.ts'
import { sliceValues } from '../../search-space/index.ts'
import type { Weights } from '../../engine/executor/index.ts'
import { type Difference, MirroredWeight, type PulledWeight, type Share } from './mirrored-weight.ts'

type Encoding = SearchConfig['weights']['encoding']

type Pulled = ReadonlyMap<string, PulledWeight>

/** `members`: agents in the task's round; a shard tells from it what is late. `pushRight`: what came with the task, to be shown. */
type PushedTask = { readonly taskId: number; readonly members: number; readonly pushRight?: string | undefined }

/** What one task has learnt, to be pushed. */
type Differences = {
  readonly task: PushedTask
  /** In the order in which tasks finish. */
  readonly ordinal: number
  readonly byKey: ReadonlyMap<string, Difference>
}

type Finished =
  | { readonly kind: 'made'; readonly differences: Differences }
  /** Weights were discarded after the task had begun: what it has learnt is worth nothing. */
  | { readonly kind: 'tainted' }
  /** Training diverged; the weights are as it left them. */
  | { readonly kind: 'not-finite'; readonly key: string }

/**
 * `adopt`, `begin` and `finish` read and write local weights: they must not overlap with each other or with a step of
 * training. `pull`, `push`, `discard` and the others may be called at any time.
 */
type WeightExchange = {
  /** Fetches what the shards have newer of these keys. Changes nothing. */
  pull(keys: readonly string[]): Promise<Pulled>
  /** Takes pulled weights in, also while a task trains: between two steps. Leaves out what was overtaken since the pull. */
  adopt(pulled: Pulled): Promise<void>
  /** Those of the keys that must be pulled and adopted before they are used. */
  discarded(keys: readonly string[]): string[]
  /** Says from now on whether one of the keys was discarded meanwhile, so that a task's numbers come to nothing. */
  watch(keys: readonly string[]): () => boolean
  /** To be called before a task changes these weights. */
  begin(keys: readonly string[]): Promise<void>
  /** Ends what `begin` began: `shareOf` each weight's change is to be pushed. */
  finish(task: PushedTask, keys: readonly string[], shareOf: (key: string) => Share): Promise<Finished>
  /**
   * Sends differences, in the order in which they were made. Throws what the client throws; the keys of a shard that did not
   * take them are discarded then, and differences that were made from them dropped.
   */
  push(differences: Differences): Promise<void>
  /** Whether some of what a task has learnt was given up before it was sent: then the task must not be delivered. */
  isDropped(differences: Differences): boolean
  /**
   * Gives local weights up: they are not to be used before they have been pulled. A task that trains on them is tainted.
   * With `since`, so are all tasks that finished after it, and their differences of these keys are dropped with its own.
   */
  discard(keys: Iterable<string>, since?: Differences): void
  /** Gives up the velocities that were exchanged so far. */
  discardVelocities(): void
  /** Gives up everything: the shards are no longer what any of it came from. Differences that were not sent yet are dropped. */
  discardAll(): void
}

type ExchangeOptions = {
  readonly client: Pick<CoordinatorClient, 'pull' | 'push'>
  readonly agent: Pick<RegisterResponse, 'agentId'>
  readonly encoding: Encoding
  readonly plan: ShardPlan
  readonly weights: Pick<Weights, 'spec' | 'read' | 'write'>
}

function byShard(plan: ShardPlan, keys: Iterable<string>): Map<number, string[]> {
  const shards = new Map<number, string[]>()
  for (const key of keys) {
    const shard = plan.shardOf.get(weightKeyOf(key))
    if (shard === undefined) throw new Error(`weight ${key} is on no shard`)
    const members = shards.get(shard) ?? []
    members.push(key)
    shards.set(shard, members)
  }
  return shards
}

/** Runs jobs of the same name one after the other. */
function createQueues(): <T>(name: number, job: () => Promise<T>) => Promise<T> {
  const last = new Map<number, Promise<unknown>>()
  return (name, job) => {
    const turn = (last.get(name) ?? Promise.resolve()).then(job)
    // One that fails is its caller's matter; the next one gets its turn.
    last.set(
      name,
      turn.catch(() => undefined),
    )
    return turn
  }
}

/** Of the failures of one push: refused numbers concern a task, everything else more than that. */
function worst(failures: readonly unknown[]): unknown {
  return failures.find((error) => !(error instanceof CoordinatorError) || error.code !== 'bad-numbers') ?? failures[0]
}

function createWeightExchange({ client, agent, encoding, plan, weights }: ExchangeOptions): WeightExchange {
  const known = new Map<string, MirroredWeight>()
  const inTurn = createQueues()
  let finished = 0
  let isBusy = false

  const weightOf = (key: string): MirroredWeight => {
    const weight = known.get(key) ?? new MirroredWeight(isVelocityKey(key) ? 'velocity' : 'weight')
    known.set(key, weight)
    return weight
  }
  const round = (values: Float32Array<ArrayBuffer>) => rounded(encoding, values)

  const alone = async <T>(body: () => Promise<T>): Promise<T> => {
    if (isBusy) throw new Error('adopt, begin and finish of one weight exchange must not overlap')
    isBusy = true
    try {
      return await body()
    } finally {
      isBusy = false
    }
  }

  const pullShard = async (shard: number, keys: readonly string[]): Promise<[string, PulledWeight][]> => {
    const asked = new Map(keys.map((key) => [key, weightOf(key).discards]))
    const answer = await client.pull(shard, Object.fromEntries(keys.map((key) => [key, weightOf(key).heldVersion])))
    return [...answer].map(([key, tensor]) => [key, { ...tensor, discards: asked.get(key) ?? 0 }])
  }

  const discard = (keys: Iterable<string>, since?: Differences) => {
    for (const key of keys) weightOf(key).discard(since?.ordinal ?? Number.POSITIVE_INFINITY)
  }

  const pushShard = async (shard: number, keys: readonly string[], differences: Differences): Promise<void> => {
    const members = keys.flatMap((key) => {
      const difference = differences.byKey.get(key)
      return difference && !difference.isDropped ? [[key, difference] as const] : []
    })
    if (members.length === 0) return
    const tensors = new Map(
      members.map(([key, { values, part }]) => {
        const { shape } = weights.spec(key)
        return [key, part ? { shape: part, values: sliceValues(values, shape, part) } : { shape, values }]
      }),
    )
    const baseVersions = Object.fromEntries(members.map(([key, { baseVersion }]) => [key, baseVersion]))
    try {
      const task = { agentId: agent.agentId, ...differences.task }
      const answer = await client.push(shard, task, tensors, baseVersions, encoding)
      for (const [key, difference] of members) weightOf(key).acknowledge(key, difference, answer)
    } catch (error) {
      discard(keys, differences)
      throw error
    }
  }

  return {
    async pull(keys) {
      const shards = [...byShard(plan, keys)]
      const answers = await Promise.all(shards.map(([shard, members]) => inTurn(shard, () => pullShard(shard, members))))
      return new Map(answers.flat())
    },

    adopt: (pulled) =>
      alone(async () => {
        for (const [key, tensor] of pulled) {
          const weight = weightOf(key)
          if (!weight.accepts(tensor)) continue
          const local = weight.isMirrored ? await weights.read(key) : null
          // It may have been discarded meanwhile.
          if (!weight.accepts(tensor)) continue
          const next = weight.adopt(tensor, local)
          if (next) weights.write(key, next)
        }
      }),

    discarded: (keys) => keys.filter((key) => weightOf(key).isDiscarded),

    watch(keys) {
      const before = keys.map((key) => weightOf(key).discards)
      return () => keys.some((key, i) => weightOf(key).discards !== before[i])
    },

    begin: (keys) =>
      alone(async () => {
        for (const key of keys) await weightOf(key).begin(() => weights.read(key))
      }),

    finish: (task, keys, shareOf) =>
      alone(async () => {
        const local = new Map<string, Float32Array>()
        for (const key of keys) local.set(key, await weights.read(key))
        const ends = keys.map((key) => weightOf(key).endTask())
        const notBegun = keys[ends.indexOf('not-begun')]
        if (notBegun !== undefined) throw new Error(`weight ${notBegun} was changed without begin()`)
        if (ends.includes('tainted')) return { kind: 'tainted' }
        const ordinal = finished++
        const steps = [...local].map(([key, values]) => {
          return { key, ...weightOf(key).finish(values, { ordinal, share: shareOf(key), round }) }
        })
        const broken = steps.find((step) => !step.isFinite)
        if (broken) return { kind: 'not-finite', key: broken.key }
        for (const step of steps) {
          step.commit()
          if (step.local) weights.write(step.key, step.local)
        }
        return { kind: 'made', differences: { task, ordinal, byKey: new Map(steps.map(({ key, difference }) => [key, difference])) } }
      }),

    async push(differences) {
      const shards = [...byShard(plan, differences.byKey.keys())]
      const answers = await Promise.allSettled(shards.map(([shard, keys]) => inTurn(shard, () => pushShard(shard, keys, differences))))
      const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []))
      if (failures.length > 0) throw worst(failures)
    },

    isDropped: ({ byKey }) => [...byKey.values()].some((difference) => difference.isDropped),

    discard,
    discardVelocities: () => discard([...known.keys()].filter(isVelocityKey)),
    discardAll() {
      for (const weight of known.values()) weight.discard(0)
    },
  }
}

export { createWeightExchange, type Differences, type Pulled, type WeightExchange }
