import { setTimeout as sleep } from 'node:timers/promises'
import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, test } from 'vitest'

import { coverSpace } from '../../latency-lut/table/coverage.ts'
import type { Progress } from '../../latency-lut/profiler/node/measure.ts'
import { measureNetwork, profileAndCheck, profileSpace, randomPaths } from '../../latency-lut/profiler/node/profile.ts'
import { openRuntime } from '../../latency-lut/profiler/runtimes/index.ts'
import type { Runtime } from '../../latency-lut/profiler/runtimes/runtime.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace, largestPath, SpaceError } from '../../search-space/index.ts'
import { buildKernels } from '../../engine/kernels/build.ts'

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

let runtime: Runtime
beforeAll(async () => {
  await buildKernels()
  runtime = await openRuntime('tfjs-wasm')
}, 60_000)

describe('a profile in tfjs-wasm', () => {
  test('covers the space, knows its machine, and larger operations cost more', async () => {
    const shares: number[] = []
    const table = await profileSpace({
      space: tinySpace,
      runtime,
      batch: 8,
      seed: 1,
      rounds: 25,
      onProgress: ({ share }) => shares.push(share),
    })
    expect(latencyTableSchema.parse(table)).toEqual(table)
    expect(coverSpace(tinySpace, table).kind).toBe('covered')
    expect(table).toMatchObject({
      name: 'tiny-tfjs-wasm',
      batch: 8,
      inputShape: [28, 28, 1],
      fixedMs: 0,
      runtime: { name: 'tfjs-wasm', threads: 1 },
      quality: { rounds: 25, halfWidthPct: expect.any(Number), droppedPct: expect.any(Number), driftPct: expect.any(Number) },
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
      { space: tinySpace, runtime, batch: 8, seed: 2, rounds: 40 },
      randomPaths(tinySpace, 6, 2),
    )
    expect(networks).toHaveLength(6)
    // A busy machine with few rounds; an idle one with the default budget is within 2 %.
    expect(meanAbsoluteError).toBeLessThan(0.25)
  })

  test('of one network takes more time for more work', async () => {
    const smallest = tinySpace.decisions.map(({ options }) =>
      Math.max(
        0,
        options.findIndex(({ isZero }) => isZero),
      ),
    )
    const settings = { space: tinySpace, runtime, batch: 8, seed: 1, rounds: 15 }
    const small = await measureNetwork({ ...settings, path: smallest })
    const large = await measureNetwork({ ...settings, path: largestPath(tinySpace) })
    expect(large.meanMs).toBeGreaterThan(small.meanMs)
  })

  test('keeps to its budget, though never below five rounds', async () => {
    let rounds = 0
    const startMs = performance.now()
    const options = {
      space: tinySpace,
      runtime,
      batch: 1,
      seed: 1,
      onProgress: (progress: { rounds: number }) => void (rounds = progress.rounds),
    }
    await profileSpace({ ...options, budgetMs: 200 })
    expect(performance.now() - startMs).toBeLessThan(2000)
    await profileSpace({ ...options, budgetMs: 1 })
    expect(rounds).toBe(5)
  })

  test('of few rounds, with outliers among them, is a table that does not say how certain it is', async () => {
    let runs = 0
    const busy: Runtime = {
      ...runtime,
      // Not a processor that others use, which would be taken off.
      runsInCaller: false,
      setUp(options) {
        const workbench = runtime.setUp(options)
        return {
          ...workbench,
          async prepare(graph) {
            const network = await workbench.prepare(graph)
            return {
              ...network,
              async run() {
                await network.run()
                runs += 1
                if (runs % 7 === 0) await sleep(20)
              },
            }
          },
        }
      },
    }
    const { quality } = await profileSpace({ space: tinySpace, runtime: busy, batch: 1, seed: 1, rounds: 6 })
    expect(quality?.droppedPct).toBeGreaterThan(0)
    expect(quality).not.toHaveProperty('worstHalfWidthPct')
  })

  test('ends as soon as the precision asked for is reached', async () => {
    const options = { space: tinySpace, runtime, batch: 1, seed: 1, budgetMs: 20_000 }
    const coarse = await profileSpace({ ...options, precision: 1 })
    // 24 rounds are the fewest that count as enough.
    expect(coarse.quality?.rounds).toBe(24)
    expect(coarse.quality?.worstHalfWidthPct).toBeLessThan(100)
  })

  test('goes on from an interrupted one, whose samples count', async () => {
    const saved: Progress[] = []
    const save = async (progress: Progress) => void saved.push({ ...progress, rounds: [...progress.rounds] })
    const interrupt = new AbortController()
    const onProgress = ({ rounds }: { rounds: number }) => {
      if (rounds === 7) interrupt.abort(new Error('interrupted'))
    }
    const options = { space: tinySpace, runtime, batch: 1, seed: 1, rounds: 10 }
    const first = profileSpace({ ...options, onProgress, signal: interrupt.signal, checkpoint: { earlier: null, save } })
    await expect(first).rejects.toThrow('interrupted')
    const kept = saved.at(-1) as Progress
    expect(kept.rounds).toHaveLength(7)
    // Samples that cannot be mistaken for new ones.
    const earlier = { spentMs: 1, rounds: kept.rounds.map((round) => round.map(() => 1000)) }
    const { entries, quality } = await profileSpace({ ...options, checkpoint: { earlier, save } })
    expect(quality?.rounds).toBe(10)
    for (const { meanMs } of Object.values(entries)) expect(meanMs).toBe(1000)
  })

  test('leaves no tensor behind, also when it fails', async () => {
    const before = tf.memory()
    const options = { space: tinySpace, runtime, batch: 1, seed: 1, rounds: 2 }
    await profileSpace(options)
    await expect(profileSpace({ ...options, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    expect(tf.memory()).toMatchObject({ numTensors: before.numTensors, numBytes: before.numBytes })
  })

  test('refuses a path of another space', async () => {
    await expect(measureNetwork({ space: tinySpace, runtime, batch: 1, seed: 1, path: [0] })).rejects.toThrow(SpaceError)
  })
})
