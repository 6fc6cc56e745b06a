// What the agents of a round exchange, and how much of it counts.
//
// Of a weight that paths read by parts, what counts is who trains the same elements: those within the reach of k agents of the round, by the
// options that each has, are shared as operations of k agents are.
//
// Where a round says so, velocities of operations move with them from agent to agent: with tasks of a few steps an agent would
// otherwise find, when it gets an operation again, a velocity that is many rounds old (docs/scaling.md). Those of common parts
// stay, since every agent trains these at every step, and so do all velocities of an agent that is alone.

import {
  MAX_WEIGHTS_BYTES,
  OPERATION_EXPONENT,
  isVelocityKey,
  roundShare,
  type ShardPlan,
  type TaskWork,
  trainsWeights,
  velocityKey,
  weightKeyOf,
} from '../../protocol/index.ts'
import {
  boxOf,
  cellsOf,
  commonWeights,
  elementCount,
  type Space,
  visitRows,
  type WeightOwner,
  weightOwners,
  type WeightSpec,
} from '../../search-space/index.ts'
import type { Weights } from '../../engine/executor/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import type { AnyTrainer } from '../../engine/training/trials-trainer.ts'
import type { Share } from './mirrored-weight.ts'

const FLOAT_BYTES = 4
/** Of one tensor in the header of a message. */
const HEADER_BYTES = 200

type SharedWork = {
  /** Keys to pull before the work, and to push after it where it changes weights. */
  keysOf(work: TaskWork): string[]
  /** The share of what a weight, or a velocity, has changed that is pushed. */
  shareOf(work: TaskWork, key: string): Share
  /** Whether others train at the same time: then what they learn is taken in while the task runs. */
  isShared(work: TaskWork): boolean
  /** Agents that train at the same time, this one included. */
  membersOf(work: TaskWork): number
}

type LocalState = Pick<Weights, 'spec' | 'read' | 'write'>

function roundOf(work: TaskWork) {
  return trainsWeights(work) ? work.round : undefined
}

type Round = NonNullable<ReturnType<typeof roundOf>>

/** What each agent of a round may train of each weight, by the options that it has; kept for the last round asked about. */
function createReach({ weightsWithin }: Space): (round: Round) => readonly ReadonlyMap<string, WeightSpec>[] {
  let last: { readonly round: Round; readonly reach: readonly ReadonlyMap<string, WeightSpec>[] } | null = null
  return (round) => {
    if (last?.round !== round) {
      const reach = (round.parts ?? []).map((options) => new Map(weightsWithin?.(options).map((spec) => [spec.key, spec])))
      last = { round, reach }
    }
    return last.reach
  }
}

/** Weights whose velocities move: of operations, as many as fit into one message with all weights of their shard. */
function movingVelocities(space: Space, { shardOf }: Pick<ShardPlan, 'shardOf'>, isOwned: (key: string) => boolean): Set<string> {
  const bytesOf = (shape: readonly number[]) => elementCount(shape) * FLOAT_BYTES + HEADER_BYTES
  const filled = new Map<number | undefined, number>()
  const filledWith = ({ key, shape }: WeightSpec) => (filled.get(shardOf.get(key)) ?? 0) + bytesOf(shape)
  const fill = (spec: WeightSpec) => filled.set(shardOf.get(spec.key), filledWith(spec))
  for (const spec of space.weightSpecs) fill(spec)
  const moving = new Set<string>()
  for (const spec of space.weightSpecs) {
    if (!isOwned(spec.key) || filledWith(spec) > MAX_WEIGHTS_BYTES) continue
    moving.add(spec.key)
    fill(spec)
  }
  return moving
}

/** Of k agents with one operation k^−γ of the weight's change counts, and the mean of the velocities. */
function velocityShare(share: number): number {
  return share ** (1 / OPERATION_EXPONENT)
}

function createSharedWork(space: Space, plan: Pick<ShardPlan, 'shardOf'>, trainer: Pick<AnyTrainer, 'keysOf' | 'partsOf'>): SharedWork {
  const specs = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const common = commonWeights(space)
  /** Whether options share it, or parts of it. */
  const isShared = (key: string) => space.weightsWithin !== undefined && (specs.get(key)?.sliced === true || !common.has(key))
  const owners = space.weightsWithin ? new Map<string, WeightOwner>() : weightOwners(space)
  const moving = movingVelocities(space, plan, (key) => !common.has(key))
  const reachOf = createReach(space)
  /** Of the last work asked about. */
  let parts: { readonly work: TaskWork; readonly of: ReadonlyMap<string, readonly number[]> } | null = null
  const partOf = (work: TaskWork, key: string): readonly number[] => {
    if (parts?.work !== work) parts = { work, of: trainer.partsOf(work) }
    return parts.of.get(key) as readonly number[]
  }

  const shareOfOwned = (round: Round, key: string): number => {
    const owner = owners.get(key)
    if (!owner) return round.commonShare
    const shared = round.sharedOperations.find(({ block, operation }) => block === owner.block && operation === owner.operation)
    return shared?.share ?? 1
  }
  /** Of each element in the part that the work trains. */
  const shareOfPart = (work: TaskWork, key: string, isVelocity: boolean): Share => {
    const { shape } = specs.get(key) as WeightSpec
    const part = partOf(work, key)
    const ofElements = new Float64Array(elementCount(shape))
    const round = roundOf(work)
    const reached = round
      ? reachOf(round)
          .flatMap((weights) => weights.get(key) ?? [])
          .map((spec) => spec.shape)
      : []
    visitRows(shape, boxOf(shape, part), (from, length) => ofElements.fill(1, from, from + length))
    if (!round) return { part, ofElements }
    const inPart = ofElements.slice()
    for (const { within, ...box } of cellsOf(shape, reached)) {
      const count = within.length
      const share = common.has(key) && count === round.members ? round.commonShare : roundShare(count, OPERATION_EXPONENT)
      const counts = isVelocity ? 1 / count : share
      visitRows(shape, box, (from, length) => {
        for (let i = from; i < from + length; i++) ofElements[i] = (inPart[i] as number) * counts
      })
    }
    return { part, ofElements }
  }

  return {
    keysOf(work) {
      const keys = trainer.keysOf(work)
      return roundOf(work)?.velocities ? [...keys, ...keys.filter((key) => moving.has(key)).map(velocityKey)] : keys
    },
    shareOf(work, key) {
      const weightKey = weightKeyOf(key)
      const round = roundOf(work)
      if (isShared(weightKey)) return shareOfPart(work, weightKey, isVelocityKey(key))
      if (!round) return 1
      const share = shareOfOwned(round, weightKey)
      return isVelocityKey(key) ? velocityShare(share) : share
    },
    isShared: (work) => roundOf(work) !== undefined,
    membersOf: (work) => roundOf(work)?.members ?? 1,
  }
}

/** A trainer's weights and velocities, under the keys that they have on the wire. */
function localState({ weights, velocities }: Pick<Trainer, 'weights' | 'velocities'>): LocalState {
  return {
    spec: (key) => weights.spec(weightKeyOf(key)),
    read: (key) => (isVelocityKey(key) ? velocities.read(weightKeyOf(key)) : weights.read(key)),
    write(key, values) {
      if (isVelocityKey(key)) velocities.write(weightKeyOf(key), values)
      else weights.write(key, values)
    },
  }
}

export { createSharedWork, localState, type SharedWork }
