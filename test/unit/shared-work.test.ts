import { describe, expect, it } from 'vitest'
import { planShards, type TaskWork, velocityKey } from '../../protocol/index.ts'
import { createSpace, weightOwners } from '../../search-space/index.ts'
import { createSharedWork } from '../../worker-agent/agent/shared-work.ts'
import { createTaskNetworks } from '../../engine/training/task-networks.ts'

const space = createSpace({ preset: 'fashion-mini' })
const plan = planShards(space, 16 * 1024 * 1024)
const owners = weightOwners(space)
const networks = createTaskNetworks(space)
const shared = createSharedWork(space, plan, networks)
const path = space.decisions.map(() => 0)
const alone: TaskWork = { kind: 'trainWeights', firstStep: 0, paths: [path] }
/** Two agents have the first operation of the first block of several. */
const block = space.decisions.findIndex(({ options }) => options.length > 1)
const together: TaskWork = {
  ...alone,
  round: { members: 3, commonShare: 0.6, sharedOperations: [{ block, operation: 0, share: 2 ** -0.25 }], velocities: true },
}
const contested = networks.keysOf(alone).find((key) => owners.get(key)?.block === block) as string
const owned = networks.keysOf(alone).find((key) => (owners.get(key)?.block ?? block) !== block) as string
const common = networks.keysOf(alone).find((key) => !owners.has(key)) as string

describe('what a task exchanges', () => {
  it('is weights alone where nobody else trains', () => {
    expect(shared.keysOf(alone)).toEqual(networks.keysOf(alone))
    expect(shared.shareOf(alone, contested)).toBe(1)
  })

  it('has the velocities of operations beside the weights where the round says so', () => {
    const long: TaskWork = { ...together, round: { members: 2, commonShare: 0.7, sharedOperations: [] } }
    expect(shared.keysOf(long)).toEqual(networks.keysOf(alone))
    const velocities = networks.keysOf(alone).filter((key) => owners.has(key))
    expect(velocities.length).toBeGreaterThan(0)
    expect(shared.keysOf(together)).toEqual([...networks.keysOf(alone), ...velocities.map(velocityKey)])
  })

  it('counts by who else has it', () => {
    expect(shared.shareOf(together, common)).toBe(0.6)
    expect(shared.shareOf(together, owned)).toBe(1)
    expect(shared.shareOf(together, velocityKey(owned))).toBe(1)
    expect(shared.shareOf(together, contested)).toBe(2 ** -0.25)
    expect(shared.shareOf(together, velocityKey(contested))).toBeCloseTo(1 / 2, 12)
  })

  it('leaves velocities away that do not fit beside the weights of their shard', () => {
    const large = createSpace({ preset: 'proxyless-mobile' })
    const largeOwners = weightOwners(large)
    const onOne = { shardOf: new Map(large.weightSpecs.map(({ key }) => [key, 0])) }
    const all = createTaskNetworks(large)
    const first: TaskWork = { ...together, paths: [large.decisions.map(() => 0)] }
    const count = (keys: readonly string[]) => keys.filter((key) => key.startsWith('velocity/')).length
    const owned = all.keysOf(first).filter((key) => largeOwners.has(key)).length
    // The weights alone are more than a message may have.
    expect(count(createSharedWork(large, onOne, all).keysOf(first))).toBe(0)
    const spread = createSharedWork(large, planShards(large, 8 * 1024 * 1024), all)
    expect(count(spread.keysOf(first))).toBe(owned)
  })
})
