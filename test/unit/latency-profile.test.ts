import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, test } from 'vitest'

import { coverSpace } from '../../latency-lut/coverage.ts'
import { measureNetwork, profileAndCheck, profileSpace, randomPaths } from '../../latency-lut/node/profile.ts'
import { latencyTableSchema } from '../../latency-lut/table.ts'
import { createSpace, largestPath, SpaceError } from '../../search-space/index.ts'
import { type Backend, openBackend } from '../../worker-agent/backends/backends.ts'
import { buildKernels } from '../../worker-agent/kernels/build.ts'

/** 13 keys. */
const tinySpace = createSpace({
  preset: 'fashion-mini',
  name: 'tiny',
  stages: [
    { width: 16, cells: 2, stride: 1 },
    { width: 24, cells: 1, stride: 2 },
  ],
  kernels: [3, 5],
})

let backend: Backend
beforeAll(async () => {
  await buildKernels()
  backend = (await openBackend('wasm')).chosen
}, 60_000)

describe('a profile on the wasm backend', () => {
  test('covers the space, knows its machine, and larger operations cost more', async () => {
    const shares: number[] = []
    const table = await profileSpace({
      space: tinySpace,
      backend,
      batch: 8,
      seed: 1,
      rounds: 25,
      onProgress: ({ share }) => shares.push(share),
    })
    expect(latencyTableSchema.parse(table)).toEqual(table)
    expect(coverSpace(tinySpace, table).kind).toBe('covered')
    expect(table).toMatchObject({
      name: 'tiny-wasm',
      batch: 8,
      inputShape: [28, 28, 1],
      fixedMs: 0,
      runtime: { name: 'tfjs-wasm', threads: 1 },
    })
    expect(Date.parse(table.measuredAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
    expect(shares).toHaveLength(25)
    expect(shares.at(-1)).toBe(1)
    for (const { count } of Object.values(table.entries)) {
      expect(count).toBeGreaterThan(12)
      expect(count).toBeLessThanOrEqual(25)
    }
    const ms = (expand: number, kernel: number) =>
      table.entries[`expanded_conv-input:14x14x16-output:14x14x16-expand:${expand}-kernel:${kernel}-stride:1-idskip:1`]?.meanMs ??
      Number.NaN
    expect(ms(6, 3)).toBeGreaterThan(ms(3, 3))
    expect(ms(6, 5)).toBeGreaterThan(ms(3, 5))
    expect(ms(3, 5)).toBeGreaterThan(ms(3, 3))
    expect(ms(6, 5)).toBeGreaterThan(ms(6, 3))
  })

  test('predicts whole networks from the sum of its entries', async () => {
    const { networks, meanAbsoluteError } = await profileAndCheck(
      { space: tinySpace, backend, batch: 8, seed: 2, rounds: 40 },
      randomPaths(tinySpace, 6, 2),
    )
    expect(networks).toHaveLength(6)
    // A busy machine with few rounds; an idle one with the default budget is within 2 %.
    expect(meanAbsoluteError).toBeLessThan(0.25)
  })

  test('of one network takes more time for more work', async () => {
    const smallest = tinySpace.blocks.map(({ operations }) =>
      Math.max(
        0,
        operations.findIndex(({ isZero }) => isZero),
      ),
    )
    const settings = { space: tinySpace, backend, batch: 8, seed: 1, rounds: 15 }
    const small = await measureNetwork({ ...settings, path: smallest })
    const large = await measureNetwork({ ...settings, path: largestPath(tinySpace) })
    expect(large.meanMs).toBeGreaterThan(small.meanMs)
  })

  test('keeps to its budget, though never below five rounds', async () => {
    let rounds = 0
    const startMs = performance.now()
    const options = {
      space: tinySpace,
      backend,
      batch: 1,
      seed: 1,
      onProgress: (progress: { rounds: number }) => void (rounds = progress.rounds),
    }
    await profileSpace({ ...options, budgetMs: 200 })
    expect(performance.now() - startMs).toBeLessThan(2000)
    await profileSpace({ ...options, budgetMs: 1 })
    expect(rounds).toBe(5)
  })

  test('leaves no tensor behind, also when it fails', async () => {
    const before = tf.memory()
    const options = { space: tinySpace, backend, batch: 1, seed: 1, rounds: 2 }
    await profileSpace(options)
    await expect(profileSpace({ ...options, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    expect(tf.memory()).toMatchObject({ numTensors: before.numTensors, numBytes: before.numBytes })
  })

  test('refuses a path of another space', async () => {
    await expect(measureNetwork({ space: tinySpace, backend, batch: 1, seed: 1, path: [0] })).rejects.toThrow(SpaceError)
  })
})
