// What the agents of a round exchange, and how much of it counts.
//
// Where a round says so, velocities of operations move with them from agent to agent: with tasks of a few steps an agent would
// otherwise find, when it gets an operation again, a velocity that is many rounds old (docs/scaling.md). Those of common parts
// stay, since every agent trains these at every step, and so do all velocities of an agent that is alone.

import {
  MAX_WEIGHTS_BYTES,
  OPERATION_EXPONENT,
  isVelocityKey,
  type ShardPlan,
  type TaskWork,
  trainsWeights,
  velocityKey,
  weightKeyOf,
} from '../../protocol/index.ts'
import { elementCount, type Space, weightOwners, type WeightSpec } from '../../search-space/index.ts'
import type { Weights } from '../../engine/executor/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import type { AnyTrainer } from '../../engine/training/trials-trainer.ts'

const FLOAT_BYTES = 4
/** Of one tensor in the header of a message. */
const HEADER_BYTES = 200

type SharedWork = {
  /** Keys to pull before the work, and to push after it where it changes weights. */
  keysOf(work: TaskWork): string[]
  /** The share of what a weight, or a velocity, has changed that is pushed. */
  shareOf(work: TaskWork, key: string): number
  /** Whether others train at the same time: then what they learn is taken in while the task runs. */
  isShared(work: TaskWork): boolean
  /** Agents that train at the same time, this one included. */
  membersOf(work: TaskWork): number
}

type LocalState = Pick<Weights, 'spec' | 'read' | 'write'>

function roundOf(work: TaskWork) {
  return trainsWeights(work) ? work.round : undefined
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

function createSharedWork(space: Space, plan: Pick<ShardPlan, 'shardOf'>, trainer: Pick<AnyTrainer, 'keysOf'>): SharedWork {
  const owners = weightOwners(space)
  const moving = movingVelocities(space, plan, (key) => owners.has(key))

  return {
    keysOf(work) {
      const keys = trainer.keysOf(work)
      return roundOf(work)?.velocities ? [...keys, ...keys.filter((key) => moving.has(key)).map(velocityKey)] : keys
    },
    shareOf(work, key) {
      const round = roundOf(work)
      if (!round) return 1
      const owner = owners.get(weightKeyOf(key))
      if (!owner) return round.commonShare
      const { share } = round.sharedOperations.find(({ block, operation }) => block === owner.block && operation === owner.operation) ?? {
        share: 1,
      }
      // Of k agents with one operation k^−γ of the weight's change counts, and the mean of the velocities.
      return isVelocityKey(key) ? share ** (1 / OPERATION_EXPONENT) : share
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
