// What the weights of a search must be, by whoever has seen every push: the start, and the sum of all differences that were applied.
//
// A push whose answer nobody saw was applied or it was not: the versions that a shard states next decide. Each is applied once at most, so
// the version of a key is the number of applied pushes that had it.

import { createHash } from 'node:crypto'
import { decodeSafetensors, latenessScale, planShards, pushMetadataSchema, versionsSchema, weightKeyOf } from '../../protocol/index.ts'
import { boxOf, elementCount, initialWeights, isWhole, type Space, visitRows } from '../../search-space/index.ts'

type Push = {
  readonly shard: number
  readonly taskId: number
  readonly bytes: Uint8Array
}
type Answer = { readonly kind: 'applied' | 'duplicate'; readonly scales: Readonly<Record<string, number>> }
type Versions = Readonly<Record<string, number>>
type Replicated = { version: number; readonly values: Float64Array; readonly shape: readonly number[] }

/** A shard has other weights, or other versions, than the pushes come to. */
class LostPushError extends Error {
  override readonly name = 'LostPushError'
}

/** Shares of the largest weight of a tensor: what sums in another order differ by. */
const TOLERANCE = 1e-4

/** Weights of a key where it has this version. */
type Stored = (key: string, version: number) => ArrayLike<number> | undefined

/**
 * The factor, 0 to 1, by which a difference has led from a tensor to what is there: a difference far larger than usual is clipped, and only the
 * answer says so. Null where nothing is there to see it from.
 */
function fittedScale(
  { shape, values }: Replicated,
  difference: { readonly shape: readonly number[]; readonly values: ArrayLike<number> },
  there: ArrayLike<number> | undefined,
): number | null {
  if (!there || !isWhole(shape, difference.shape)) return null
  let [along, square] = [0, 0]
  for (const [i, value] of values.entries()) {
    const delta = difference.values[i] as number
    along += delta * ((there[i] as number) - value)
    square += delta * delta
  }
  return square > 0 ? Math.min(1, Math.max(0, along / square)) : null
}

type Replica = {
  readonly shards: number
  /** Pushes that it has applied. */
  readonly applied: number
  /** Tasks and shards of which nobody knows yet whether what was sent has arrived. */
  readonly unknown: number
  keysOf(shard: number): string[]
  /** Before it is sent on. */
  sent(push: Push): void
  answered(push: Push, answer: Answer): void
  /** Throws LostPushError unless the shard's weights are those of the pushes. `file` is the answer to a pull of all of its keys, none held. */
  check(shard: number, file: Uint8Array): void
}

function createReplica(space: Space, settings: { seed: number; shardBytes: number }): Replica {
  const { count, shardOf } = planShards(space, settings.shardBytes)
  const tensors = new Map<string, Replicated>()
  for (const spec of space.weightSpecs) {
    tensors.set(spec.key, { version: 0, values: Float64Array.from(initialWeights(spec, settings.seed)), shape: spec.shape })
  }
  /** Zero until somebody pushes it. */
  const tensorOf = (key: string): Replicated => {
    const known = tensors.get(key)
    if (known) return known
    const { shape } = tensors.get(weightKeyOf(key)) as Replicated
    const velocity = { version: 0, values: new Float64Array(elementCount(shape)), shape }
    tensors.set(key, velocity)
    return velocity
  }
  const nameOf = ({ shard, taskId }: Push) => `${shard}/${taskId}`
  const done = new Set<string>()
  /** By name: bodies whose fate is not known. Copies of one are one. */
  const unknown = new Map<string, Map<string, Push>>()
  let applied = 0

  /** `there`: of a push whose scales nobody has seen, the weights that it has led to, as far as they are known. */
  const change = (push: Push, scales: Answer['scales'] | null, there?: Stored) => {
    const { metadata, tensors: pushed } = decodeSafetensors(push.bytes)
    const { baseVersions, members } = pushMetadataSchema.parse(metadata)
    const bases = versionsSchema.parse(JSON.parse(baseVersions))
    for (const [key, { shape, values }] of pushed) {
      const tensor = tensorOf(key)
      const late = tensor.version - (bases[key] ?? 0)
      const usual = latenessScale(Math.max(0, late), Number(members ?? 1))
      const scale = scales ? (scales[key] ?? 1) : (fittedScale(tensor, { shape, values }, there?.(key, tensor.version + 1)) ?? usual)
      let i = 0
      const add = (from: number, length: number) => {
        for (let at = from; at < from + length; at++, i++) tensor.values[at] = (tensor.values[at] as number) + scale * (values[i] as number)
      }
      if (isWhole(tensor.shape, shape)) add(0, values.length)
      else visitRows(tensor.shape, boxOf(tensor.shape, shape), add)
      tensor.version += 1
    }
  }
  const settle = (push: Push) => {
    done.add(nameOf(push))
    unknown.delete(nameOf(push))
    applied += 1
  }
  const apply = (push: Push, scales: Answer['scales'] | null) => {
    change(push, scales)
    settle(push)
  }

  /** What is wrong with a shard, or null. */
  const differenceOf = (shard: number, stored: ReadonlyMap<string, { readonly values: ArrayLike<number> }>, versions: Versions) => {
    for (const [key, { version, values }] of tensors) {
      if (shardOf.get(weightKeyOf(key)) !== shard || key !== weightKeyOf(key)) continue
      const there = stored.get(key)?.values
      if (!there || versions[key] !== version) {
        return `${key} has version ${versions[key]} on shard ${shard}, and ${version} pushes of it were applied`
      }
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3)
      const at = values.findIndex((value, i) => Math.abs(value - (there[i] as number)) > TOLERANCE * largest)
      if (at !== -1) return `${key}[${at}] is ${there[at]} on shard ${shard}, and the pushes of it come to ${values[at]}`
    }
    return null
  }

  /** Applies those of `pending` that make the shard what it is, whichever they are and in whatever order; whether there are such. */
  const applyUnseen = (pending: readonly Push[], isRight: () => boolean, versions: Versions, there: Stored): boolean => {
    if (isRight()) return true
    for (const push of pending) {
      const keys = [...decodeSafetensors(push.bytes).tensors.keys()]
      if (keys.some((key) => key === weightKeyOf(key) && (versions[key] ?? 0) <= tensorOf(key).version)) continue
      const before = keys.map((key) => [key, { ...tensorOf(key), values: tensorOf(key).values.slice() }] as const)
      change(push, null, there)
      // A task is applied once, whoever has sent it.
      const others = pending.filter((other) => nameOf(other) !== nameOf(push))
      if (applyUnseen(others, isRight, versions, there)) {
        settle(push)
        return true
      }
      for (const [key, tensor] of before) tensors.set(key, tensor)
    }
    return false
  }

  return {
    shards: count,
    get applied() {
      return applied
    },
    get unknown() {
      return unknown.size
    },
    keysOf: (shard) => space.weightSpecs.flatMap(({ key }) => (shardOf.get(key) === shard ? [key] : [])),
    sent(push) {
      const bodies = unknown.get(nameOf(push)) ?? new Map<string, Push>()
      bodies.set(createHash('sha256').update(push.bytes).digest('hex'), push)
      if (!done.has(nameOf(push))) unknown.set(nameOf(push), bodies)
    },
    answered(push, { kind, scales }) {
      if (kind === 'applied') {
        if (done.has(nameOf(push))) throw new LostPushError(`shard ${push.shard} applied task ${push.taskId} twice`)
        apply(push, scales)
        return
      }
      // Applied before: by the one body that was sent, if there was but one.
      const bodies = [...(unknown.get(nameOf(push))?.values() ?? [])]
      if (bodies.length === 1) apply(bodies[0] as Push, null)
    },
    check(shard, file) {
      const { metadata, tensors: stored } = decodeSafetensors(file)
      const versions = versionsSchema.parse(JSON.parse(metadata['versions'] ?? '{}'))
      const pending = [...unknown.values()].flatMap((bodies) => [...bodies.values()]).filter((push) => push.shard === shard)
      const difference = () => differenceOf(shard, stored, versions)
      const there: Stored = (key, version) => (versions[key] === version ? stored.get(key)?.values : undefined)
      if (!applyUnseen(pending, () => difference() === null, versions, there)) throw new LostPushError(difference() ?? 'unreachable')
    },
  }
}

export { createReplica, type Replica }
