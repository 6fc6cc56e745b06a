// What the weights of a search must be, by whoever has seen every push: W ← W + s · Δ in float32 from the start, push after push.
//
// A shard says which pushes it has applied, under which leases and in which order. What these come to is worked out here from what agents have
// sent, and has to be what the shard has, bit for bit. So have the factors s: below 1 for what comes late, or is far larger than
// usual (docs/protocol.md). No push is applied that nobody sent under a lease of its task, and none is missing that was acknowledged.

import { isDeepStrictEqual } from 'node:util'
import {
  decodeSafetensors,
  isVelocityKey,
  planShards,
  pushMetadataSchema,
  type PushResponse,
  type PushRight,
  velocityKey,
  versionsSchema,
} from '../../protocol/index.ts'
import { median } from '../../latency-lut/table/robust.ts'
import { boxOf, elementCount, initialWeights, type Space, visitRows } from '../../search-space/index.ts'
import type { AppliedPush, ShardState } from './applied-pushes.ts'

/** `right`: what the sender showed with it. */
type SentPush = { readonly shard: number; readonly right: PushRight; readonly bytes: Uint8Array }
type Holder = { readonly taskId: number; readonly agentId: string }

/** A shard has other weights than the pushes come to, or other pushes than were sent. */
class LostPushError extends Error {
  override readonly name = 'LostPushError'
}

type Kind = 'weight' | 'velocity'
/** How large differences usually are, by docs/protocol.md: `floor` is what a smaller tensor is taken for. */
const usual = {
  weight: { floor: 0.1, atFirst: 1, least: 0.05 },
  velocity: { floor: 1, atFirst: 10, least: 0.05 },
} as const satisfies Record<Kind, unknown>
const KEPT_SIZES = 33
const NEEDED_SIZES = 8
const MOST_TIMES_USUAL = 10

const kindOf = (key: string): Kind => (isVelocityKey(key) ? 'velocity' : 'weight')

function rootMeanSquare(values: Float32Array): number {
  let sum = 0
  for (const value of values) sum += value * value
  return Math.sqrt(sum / values.length)
}

type Replicated = { version: number; readonly values: Float32Array; readonly shape: readonly number[] }
type TaskSizes = { readonly taskId: number; readonly sizes: Readonly<Record<Kind, number | null>> }

type ReplicatedShard = {
  readonly tensors: ReadonlyMap<string, Replicated>
  revision: number
  /** As the shard said it last. */
  applied: readonly AppliedPush[]
  /** Of the pushes applied so far. */
  readonly sizes: TaskSizes[]
  /** Of tasks that are not known to be applied, by lease. */
  readonly sent: Map<string, SentPush>
  /** By task. */
  readonly acknowledged: Map<number, PushResponse>
  /** Tasks of which the shard says that it has applied them before. */
  readonly known: Set<number>
}

type Replica = {
  readonly shards: number
  /** Pushes that shards have applied. */
  readonly applied: number
  keysOf(shard: number): readonly string[]
  /** Before it is sent on. */
  sent(push: SentPush): void
  /** Throws LostPushError for a push that is applied a second time. */
  answered(push: SentPush, answer: PushResponse): void
  /** Throws LostPushError unless the shard is what was sent to it. `holderOf`: who was given a lease. */
  check(shard: number, state: ShardState, holderOf: (leaseId: string) => Holder | undefined): void
}

function createReplica(space: Space, settings: { seed: number; shardBytes: number }): Replica {
  const { count, shardOf } = planShards(space, settings.shardBytes)
  const shards = Array.from({ length: count }, (_, shard): ReplicatedShard => {
    const specs = space.weightSpecs.filter(({ key }) => shardOf.get(key) === shard)
    const weights = specs.map((spec) => [spec.key, initialWeights(spec, settings.seed), spec.shape] as const)
    const velocities = specs.map(({ key, shape }) => [velocityKey(key), new Float32Array(elementCount(shape)), shape] as const)
    return {
      tensors: new Map([...weights, ...velocities].map(([key, values, shape]) => [key, { version: 0, values, shape }])),
      revision: 0,
      applied: [],
      sizes: [],
      sent: new Map(),
      acknowledged: new Map(),
      known: new Set(),
    }
  })
  const at = (shard: number): ReplicatedShard => {
    const found = shards[shard]
    if (!found) throw new LostPushError(`something was sent to shard ${shard}, and there are ${count}`)
    return found
  }

  /** The largest size of a difference that counts whole. */
  const largest = ({ sizes }: ReplicatedShard, kind: Kind): number => {
    const known = sizes.flatMap((task) => (task.sizes[kind] === null ? [] : [{ taskId: task.taskId, size: task.sizes[kind] }]))
    const recent = known.toSorted((a, b) => b.taskId - a.taskId).slice(0, KEPT_SIZES)
    const size = recent.length < NEEDED_SIZES ? usual[kind].atFirst : median(recent.map((task) => task.size))
    return MOST_TIMES_USUAL * Math.max(usual[kind].least, size)
  }

  /** Adds the differences of a push; returns what the answer to it has to say. */
  const apply = (shard: ReplicatedShard, { right, bytes }: SentPush): { sizes: TaskSizes['sizes']; answer: Omit<PushResponse, 'kind'> } => {
    const { metadata, tensors: pushed } = decodeSafetensors(bytes)
    const bases = versionsSchema.parse(JSON.parse(pushMetadataSchema.parse(metadata).baseVersions))
    const most = { weight: largest(shard, 'weight'), velocity: largest(shard, 'velocity') }
    const sizes: Record<Kind, number | null> = { weight: null, velocity: null }
    const answer = { versions: {} as Record<string, number>, scales: {} as Record<string, number>, clipped: 0 }
    for (const [key, difference] of pushed) {
      const tensor = shard.tensors.get(key)
      if (!tensor) throw new LostPushError(`task ${right.taskId} was applied with ${key}, which is not on its shard`)
      const kind = kindOf(key)
      const size = rootMeanSquare(difference.values) / (rootMeanSquare(tensor.values) + usual[kind].floor)
      sizes[kind] = Math.max(sizes[kind] ?? 0, size)
      const clip = Math.min(1, most[kind] / size)
      const others = tensor.version - (bases[key] ?? 0)
      const scale = clip / (1 + (right.members > 1 ? Math.floor(others / (2 * right.members)) : others))
      let i = 0
      visitRows(tensor.shape, boxOf(tensor.shape, difference.shape), (from, length) => {
        for (let place = from; place < from + length; place++, i++) {
          tensor.values[place] = (tensor.values[place] as number) + scale * (difference.values[i] as number)
        }
      })
      tensor.version += 1
      answer.versions[key] = tensor.version
      if (scale !== 1) answer.scales[key] = scale
      if (clip < 1) answer.clipped += 1
    }
    const { clipped, ...rest } = answer
    return { sizes, answer: { ...rest, ...(clipped > 0 && { clipped }) } }
  }

  /** Follows a push that the shard has applied. */
  const follow = (shard: ReplicatedShard, row: AppliedPush, holder: Holder | undefined, name: string) => {
    const { taskId, agentId, leaseId } = row
    const push = shard.sent.get(leaseId)
    if (!push) throw new LostPushError(`${name} applied task ${taskId} under lease ${leaseId}, and nobody has sent that`)
    if (holder?.taskId !== taskId || holder.agentId !== agentId || push.right.agentId !== agentId || push.right.taskId !== taskId) {
      throw new LostPushError(`${name} applied task ${taskId} of agent ${agentId}, which had no lease ${leaseId} of it`)
    }
    const { sizes, answer } = apply(shard, push)
    const told = shard.acknowledged.get(taskId)
    if (told && !isDeepStrictEqual(told, { kind: 'applied', ...answer })) {
      throw new LostPushError(
        `${name} answered ${JSON.stringify(told)} to the push of task ${taskId}, which comes to ${JSON.stringify(answer)}`,
      )
    }
    if (!isDeepStrictEqual(row.sizes, sizes)) {
      throw new LostPushError(`${name} says sizes ${JSON.stringify(row.sizes)} of task ${taskId}, and they are ${JSON.stringify(sizes)}`)
    }
    shard.revision += Object.keys(answer.versions).length
    if (row.revision !== shard.revision) {
      throw new LostPushError(`${name} is at revision ${row.revision} after task ${taskId}, and its pushes come to ${shard.revision}`)
    }
    shard.sizes.push({ taskId, sizes })
  }

  const compare = ({ tensors }: ReplicatedShard, { tensors: stored, versions }: ShardState, name: string) => {
    for (const [key, { version, values }] of tensors) {
      if (versions[key] !== version)
        throw new LostPushError(`${key} has version ${versions[key]} on ${name}, and was pushed ${version} times`)
      const there = stored.get(key)?.values
      const index = values.findIndex((value, i) => value !== there?.[i])
      if (index !== -1) {
        throw new LostPushError(`${key}[${index}] is ${there?.[index]} on ${name}, and its pushes come to ${values[index]}`)
      }
    }
  }

  return {
    shards: count,
    get applied() {
      return shards.reduce((sum, { applied }) => sum + applied.length, 0)
    },
    keysOf: (shard) => space.weightSpecs.flatMap(({ key }) => (shardOf.get(key) === shard ? [key] : [])),
    sent(push) {
      const { sent } = at(push.shard)
      const { leaseId, taskId } = push.right
      const before = sent.get(leaseId)
      if (before && !isDeepStrictEqual(before.bytes, push.bytes)) {
        throw new LostPushError(`task ${taskId} was pushed twice under lease ${leaseId}, with other differences`)
      }
      sent.set(leaseId, push)
    },
    answered({ shard, right: { taskId } }, answer) {
      const { acknowledged, known } = at(shard)
      if (answer.kind === 'duplicate') return void known.add(taskId)
      if (acknowledged.has(taskId)) throw new LostPushError(`shard ${shard} applied task ${taskId} twice`)
      acknowledged.set(taskId, answer)
    },
    check(index, state, holderOf) {
      const shard = at(index)
      const name = `shard ${index}`
      const before = shard.applied
      if (!isDeepStrictEqual(state.applied.slice(0, before.length), before)) {
        throw new LostPushError(`what ${name} says of the pushes that it applied has changed`)
      }
      for (const row of state.applied.slice(before.length)) follow(shard, row, holderOf(row.leaseId), name)
      shard.applied = state.applied
      const tasks = new Set(state.applied.map(({ taskId }) => taskId))
      for (const [leaseId, { right }] of shard.sent) if (tasks.has(right.taskId)) shard.sent.delete(leaseId)
      for (const taskId of [...shard.acknowledged.keys(), ...shard.known]) {
        if (!tasks.has(taskId)) throw new LostPushError(`${name} acknowledged the push of task ${taskId}, and does not have it`)
      }
      compare(shard, state, name)
    },
  }
}

export { createReplica, type Replica, type SentPush }
