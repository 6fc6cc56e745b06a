import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planShards } from '../../protocol/index.ts'
import { createSpace, elementCount, type Space } from '../../search-space/index.ts'
import { arbitrarySpace } from '../fixtures/arbitrary-spaces.ts'

/** float32 bytes on each shard, and how many keys. */
function loads(space: Space, shardOf: ReadonlyMap<string, number>): Map<number, { bytes: number; keys: number }> {
  const result = new Map<number, { bytes: number; keys: number }>()
  for (const spec of space.weightSpecs) {
    const shard = shardOf.get(spec.key) as number
    const { bytes, keys } = result.get(shard) ?? { bytes: 0, keys: 0 }
    result.set(shard, { bytes: bytes + 4 * elementCount(spec.shape), keys: keys + 1 })
  }
  return result
}

describe('the plan of shards', () => {
  it('gives every key one shard, none empty, and none more than shardBytes unless a tensor alone is larger', () => {
    fc.assert(
      fc.property(arbitrarySpace, fc.integer({ min: 1024, max: 65_536 }), (space, shardBytes) => {
        const { count, shardOf } = planShards(space, shardBytes)
        expect([...shardOf.keys()]).toEqual(space.weightSpecs.map((spec) => spec.key))
        const load = loads(space, shardOf)
        expect([...load.keys()]).toEqual(Array.from({ length: count }, (_, shard) => shard))
        for (const { bytes, keys } of load.values()) expect(keys === 1 || bytes <= shardBytes).toBe(true)
      }),
    )
  })

  it('puts the ImageNet supernet on four shards of at most 16 MiB', () => {
    const space = createSpace('proxyless-mobile')
    const { count, shardOf } = planShards(space, 16 * 1024 * 1024)
    expect(count).toBe(4)
    for (const { bytes } of loads(space, shardOf).values()) expect(bytes).toBeLessThanOrEqual(16 * 1024 * 1024)
  })
})
