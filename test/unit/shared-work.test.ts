import { describe, expect, it } from 'vitest'
import { planShards, type TaskWork, velocityKey } from '../../protocol/index.ts'
import { commonWeights, createSpace, sliceBegin, weightOwners } from '../../search-space/index.ts'
import { createSharedWork } from '../../worker-agent/agent/shared-work.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
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

describe('what a task exchanges of weights that options share', () => {
  const sliced = createSpace({ ...SLICED_SPACE, choices: 'block', activations: ['relu'], splits: [0, 2] })
  const all = sliced.decisions.map(({ options }) => [...options.keys()])
  const networksOf = createTaskNetworks(sliced)
  const work = createSharedWork(sliced, planShards(sliced, 16 * 1024 * 1024), networksOf)
  const specs = new Map(sliced.weightSpecs.map((spec) => [spec.key, spec]))
  const smallest = sliced.decisions.map(() => 0)
  const option = (name: string, of: string) => {
    const decision = sliced.decisions.findIndex((each) => each.name === name)
    return { decision, option: sliced.decisions[decision]?.options.findIndex((each) => each.name === of) as number }
  }
  /** Options of an agent: all, but for decisions that are given. */
  const part = (...only: [name: string, of: string][]) =>
    only.reduce<number[][]>((options, [name, of]) => {
      const { decision, option: chosen } = option(name, of)
      return options.with(decision, [chosen])
    }, all)
  const pathOf = (options: readonly (readonly number[])[]) => options.map((own) => own.at(-1) as number)
  const reach = (options: readonly (readonly number[])[], key: string) =>
    new Map(sliced.weightsWithin?.(options).map((spec) => [spec.key, spec.shape])).get(key)
  const inside = (key: string, of: readonly number[] | undefined, index: number) => {
    if (!of) return false
    const { shape } = specs.get(key) as { shape: readonly number[] }
    const begin = sliceBegin(shape, of) as number[]
    let rest = index
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const at = rest % (shape[axis] as number)
      rest = Math.floor(rest / (shape[axis] as number))
      if (at < (begin[axis] as number) || at >= (begin[axis] as number) + (of[axis] as number)) return false
    }
    return true
  }

  it('is, alone, the part that its paths read', () => {
    const alone: TaskWork = { kind: 'trainWeights', firstStep: 0, paths: [smallest.with(option('row1.1.kernel', 'k3').decision, 1)] }
    const key = 'row1.1/project.filter'
    const share = work.shareOf(alone, key)
    if (typeof share === 'number') throw new Error('expected shares of elements')
    expect(share.part).toEqual([1, 1, 8, 8])
    expect(specs.get(key)?.shape).toEqual([1, 1, 16, 12])
    expect([...share.ofElements]).toEqual(Array.from({ length: 192 }, (_, i) => (i < 96 && i % 12 < 8 ? 1 : 0)))
    expect(work.shareOf(alone, 'stem/conv.filter')).toBe(1)
  })

  it('counts, element by element, by the agents of the round whose options reach it', () => {
    const parts = [
      part(['row1.1.width', 'c8'], ['row1.1.kernel', 'k3'], ['row1.2.kernel', 'k3']),
      part(['row1.1.width', 'c12'], ['row1.2.expansion', 'e1']),
      part(['row1.1.kernel', 'skip'], ['row1.2.expansion', 'e1']),
    ]
    const round = { members: 3, commonShare: 3 ** -0.5, sharedOperations: [], parts, velocities: true }
    const task: TaskWork = { kind: 'trainWeights', firstStep: 0, paths: [pathOf(parts[0] as number[][])], round }
    const common = commonWeights(sliced)
    const counted = new Set<number>()
    for (const key of networksOf.keysOf(task)) {
      const share = work.shareOf(task, key)
      const velocity = work.shareOf(task, velocityKey(key))
      if (typeof share === 'number' || typeof velocity === 'number') {
        // Every agent trains it whole.
        expect([key, share]).toEqual([key, round.commonShare])
        expect(parts.every((own) => reach(own, key)?.join() === specs.get(key)?.shape.join())).toBe(true)
        continue
      }
      for (const [index, value] of share.ofElements.entries()) {
        const count = parts.filter((own) => inside(key, reach(own, key), index)).length
        const isTrained = inside(key, networksOf.partsOf(task).get(key), index)
        const wanted = common.has(key) && count === 3 ? round.commonShare : count ** -0.25
        expect(value, `${key} ${index}`).toBeCloseTo(isTrained ? wanted : 0, 12)
        expect(velocity.ofElements[index], `${key} ${index}`).toBeCloseTo(isTrained ? 1 / count : 0, 12)
        if (isTrained) counted.add(count)
      }
    }
    expect([...counted].toSorted()).toEqual([1, 2, 3])
  })
})
