import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'

import {
  COMMON_EXPONENT,
  OPERATION_EXPONENT,
  resultMismatch,
  searchConfigSchema,
  type TaskResult,
  type StepWork,
  type WeightMixtures,
  type WeightPaths,
} from '../../protocol/index.ts'
import {
  boxOf,
  createRandom,
  createSpace,
  elementCount,
  randomPath,
  seedState,
  type SpaceRef,
  visitRows,
} from '../../search-space/index.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
import { openInThisThread, openInThreads } from './small-trainers.ts'
import { SMALL_SPACE, space } from './training-images.ts'

const config = searchConfigSchema.parse({
  name: 'lanes',
  space: SMALL_SPACE,
  dataset: { name: 'small' },
  latency: { targetMs: 6, table: { name: 'tiny' }, loss: { kind: 'add#linear' } },
  seed: 5,
  strategy: { name: 'proxyless-g' },
  training: { steps: 100, batchSize: 12, augmentation: { flip: false, shift: 1 } },
})

/** Every thread that is started. */
const started: Worker[] = []
process.on('worker', (worker) => started.push(worker))

const open: Trainer[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((trainer) => trainer.close()))
  started.length = 0
})

const keep = (trainer: Trainer): Trainer => {
  open.push(trainer)
  return trainer
}

const inThisThread = async (of?: SpaceRef) => keep(await openInThisThread({ config, ...(of && { space: of }) }))

const inThreads = async (threads: number, stop?: AbortSignal, of?: SpaceRef) =>
  keep(await openInThreads(threads, { config, ...(stop && { stop }), ...(of && { space: of }) }))

const random = createRandom(seedState('lanes'))
const paths = (count: number) => Array.from({ length: count }, () => [...randomPath(space, random)])
const training = (firstStep: number, count: number, more: Partial<WeightPaths> = {}): WeightPaths => ({
  kind: 'trainWeights',
  firstStep,
  paths: paths(count),
  ...more,
})
const gates = (steps: number): StepWork => ({
  kind: 'gateGradients',
  firstStep: 3,
  alphaVersion: 0,
  steps: paths(steps).map((path) => path.map((active) => ({ active, inactive: [(active + 1) % 2] }))),
})
const mixture = [
  [0.75, 0.25],
  [0.375, 0.625],
]
const mixtures = (firstStep: number, steps: number, more: Partial<WeightMixtures> = {}): WeightMixtures => ({
  kind: 'trainMixtures',
  firstStep,
  steps,
  ...more,
})
const mixtureGradients = (steps: number, more: object = {}): StepWork => ({
  kind: 'mixtureGradients',
  firstStep: 3,
  steps,
  mixture,
  alphaVersion: 0,
  ...more,
})
const evaluation = (count: number): StepWork => ({ kind: 'evaluatePaths', paths: paths(count), images: 1000 })

const nothing = async () => undefined

/** Runs all of it, and gives the results and the bits of all weights. */
async function runAll(trainer: Trainer, works: readonly StepWork[], of = space) {
  const results = []
  for (const work of works) results.push((await trainer.run(work, nothing)).result)
  const weights: [string, number[]][] = []
  for (const { key } of of.weightSpecs) weights.push([key, [...new Uint32Array((await trainer.weights.read(key)).buffer)]])
  return { results, weights }
}

describe('a trainer in threads', () => {
  test.each([1, 2, 3])('gives what the trainer in one thread gives, to the last bit: %i threads', async (threads) => {
    const lanes = { count: 3, mergeEvery: 2 }
    const works = [
      training(0, 4),
      training(4, 15, { lanes, schedule: { from: 4, perStep: 2.25, counts: 11.25 } }),
      gates(5),
      training(19, 9, { lanes }),
      evaluation(1),
      training(28, 3),
      evaluation(3),
      // The last sub-round is not full: lane 2 ends one step early.
      training(31, 8, { lanes }),
    ]
    expect(await runAll(await inThreads(threads), works)).toEqual(await runAll(await inThisThread(), works))
  })

  test.each([1, 2])('gives the same of mixtures and of paths weighed by importance: %i threads', async (threads) => {
    const lanes = { count: 2, mergeEvery: 2 }
    const works = [
      mixtures(0, 2, { mixture }),
      mixtureGradients(2),
      mixtures(2, 3, {
        dropped: [
          [[1], []],
          [[], [0]],
          [[0], [1]],
        ],
      }),
      training(5, 8, { samples: { count: 2, temper: 3 } }),
      mixtures(9, 4, { mixture, lanes }),
      // Reads the velocities that the steps before have left.
      mixtureGradients(2, { unrolled: { firstBatch: 20, position: 13 } }),
      training(13, 12, { samples: { count: 3, temper: 3 }, lanes }),
    ]
    const [inOne, inMany] = [await runAll(await inThisThread(), works), await runAll(await inThreads(threads), works)]
    expect(inMany).toEqual(inOne)
    for (const [i, work] of works.entries())
      expect(resultMismatch(work, inOne.results[i] as TaskResult, { ...space, ...config.training })).toBeNull()
  })

  test('does so where paths read parts of weights, and leaves alone what none of them reads', async () => {
    const ref = { ...SLICED_SPACE, input: SMALL_SPACE.input, classes: SMALL_SPACE.classes, splits: [0, 2] as const } satisfies SpaceRef
    const slicedRef = { ...ref, splits: [...ref.splits] }
    const sliced = createSpace(slicedRef)
    // The second lane has narrow blocks alone, none of them the widest.
    const [wide, narrow] = [1, 0].map((option) => sliced.decisions.map(({ name }) => (/width|expansion/.test(name) ? option : 1)))
    const pathsOf = (count: number, other = narrow) =>
      Array.from({ length: count }, (_, i) => [...((i % 2 === 0 ? wide : other) as number[])])
    const lanes = { count: 2, mergeEvery: 2 }
    const works = [
      training(0, 8, { lanes, paths: pathsOf(8) }),
      training(8, 2, { paths: pathsOf(2) }),
      training(10, 4, { lanes, paths: pathsOf(4, wide) }),
    ]
    const inOne = await runAll(await inThisThread(slicedRef), works, sliced)
    expect(await runAll(await inThreads(2, undefined, slicedRef), works, sliced)).toEqual(inOne)

    const alone = await inThisThread(slicedRef)
    const before = new Map<string, Float32Array>()
    for (const { key } of sliced.weightSpecs) before.set(key, await alone.weights.read(key))
    const work = training(0, 4, { lanes, paths: Array.from({ length: 4 }, () => [...(narrow as number[])]) })
    const parts = alone.partsOf(work)
    await alone.run(work, nothing)
    for (const { key, shape } of sliced.weightSpecs) {
      const after = await alone.weights.read(key)
      const part = parts.get(key)
      const trained = new Set<number>()
      if (part) visitRows(shape, boxOf(shape, part), (from, length) => Array.from({ length }, (_, i) => trained.add(from + i)))
      const moved = [...after.keys()].filter((i) => after[i] !== before.get(key)?.[i])
      expect(
        moved.filter((i) => !trained.has(i)),
        key,
      ).toEqual([])
    }
  })

  test('begins with what was said to come next, and with anything else as well', async () => {
    const [first, second] = [training(0, 4, { lanes: { count: 2, mergeEvery: 1 } }), gates(2)]
    const trainer = await inThreads(2)
    trainer.prefetch(second)
    trainer.prefetch(first)
    const { result } = await trainer.run(first, async (stepsLeft) => {
      if (stepsLeft === 1) trainer.prefetch(second)
    })
    const again = await runAll(await inThisThread(), [first, second])
    expect([result, (await trainer.run(second, nothing)).result]).toEqual(again.results)
  })

  test('takes in weights and forgets velocities between steps, as the trainer in one thread does', async () => {
    const key = space.weightSpecs[0]!.key
    const values = new Float32Array(elementCount(space.weightSpecs[0]!.shape)).fill(0.25)
    const run = async (trainer: Trainer) => {
      await trainer.run(
        training(0, 2, {
          paths: [
            [0, 0],
            [1, 1],
          ],
        }),
        nothing,
      )
      trainer.resetOptimiser()
      const work = training(2, 4, {
        paths: [
          [0, 0],
          [1, 1],
          [1, 0],
          [0, 0],
        ],
        lanes: { count: 2, mergeEvery: 1 },
      })
      await trainer.run(work, async (stepsLeft) => {
        if (stepsLeft === 1) trainer.weights.write(key, values)
      })
      return runAll(trainer, [])
    }
    expect(await run(await inThreads(2))).toEqual(await run(await inThisThread()))
  })

  test('counts the bytes of all threads that run at once', async () => {
    const work = training(0, 2, {
      paths: [
        [0, 0],
        [0, 0],
      ],
      lanes: { count: 2, mergeEvery: 1 },
    })
    const { peakBytes } = await (await inThreads(2)).run(work, nothing)
    expect(peakBytes).toBe(2 * (await (await inThisThread()).run(work, nothing)).peakBytes)
  })

  test('whose thread dies fails the task with its name, and does the next with a new one', async () => {
    const trainer = await inThreads(2)
    const work = training(0, 40, { lanes: { count: 2, mergeEvery: 2 } })
    let waves = 0
    const broken = trainer.run(work, async () => {
      waves += 1
      if (waves === 2) await started[1]!.terminate()
    })
    await expect(broken).rejects.toMatchObject({ code: 'thread-failed', message: expect.stringContaining('thread 2 of 2 ended early') })
    expect(waves).toBe(2)
    const { result } = await trainer.run(evaluation(2), nothing)
    expect(result.kind).toBe('evaluatePaths')
    expect(started).toHaveLength(3)
  })

  test('whose thread cannot do a step says why', async () => {
    const trainer = await inThreads(2)
    const work = { ...training(0, 2, { lanes: { count: 2, mergeEvery: 1 } }), firstStep: -1 }
    await expect(trainer.run(work, nothing)).rejects.toThrow(/thread 1 of 2 failed: expected a batch size of at least 1/)
  })

  test('ends at once on a stop, in the middle of a step', async () => {
    const stop = new AbortController()
    const trainer = await inThreads(2, stop.signal)
    const ended = Promise.all(started.map((worker) => new Promise((done) => worker.once('exit', done))))
    const running = trainer.run(evaluation(64), async () => void setImmediate(() => stop.abort(new Error('stopped'))))
    await expect(running).rejects.toThrow('stopped')
    await ended
    await expect(trainer.run(gates(1), nothing)).rejects.toThrow('stopped')
  })

  test('refuses weights that come while threads train, and reads them behind the wave', async () => {
    const trainer = await inThreads(1)
    const key = space.weightSpecs[0]!.key
    const before = await trainer.weights.read(key)
    let read: Promise<Float32Array> = Promise.resolve(before)
    let refusal: unknown
    await trainer.run(training(0, 1), async () => {
      setImmediate(() => {
        try {
          trainer.weights.write(key, before)
        } catch (error) {
          refusal = error
        }
        read = trainer.weights.read(key)
      })
    })
    expect(String(refusal)).toMatch(/expected .* to be written between steps/)
    expect(await read).toEqual(await trainer.weights.read(key))
    expect(await read).not.toEqual(before)
  })
})

describe('lanes in one thread', () => {
  const weightOf = async (work: WeightPaths, key: string) => {
    const trainer = await inThisThread()
    await trainer.run(work, nothing)
    return trainer.weights.read(key)
  }
  const keysOf = async (path: number[]) => (await inThisThread()).keysOf(training(0, 1, { paths: [path] }))

  test('leave a weight that one of them trains as it has trained it', async () => {
    const own = (await keysOf([0, 2])).find((key) => key.includes('mb2k3'))
    const work = training(0, 2, {
      paths: [
        [0, 2],
        [1, 2],
      ],
      lanes: { count: 2, mergeEvery: 1 },
    })
    expect(await weightOf(work, own!)).toEqual(await weightOf(training(0, 1, { paths: [[0, 2]] }), own!))
  })

  test('merge a weight that all of them train', async () => {
    const [common] = await keysOf([0, 2])
    const schedule = { from: 0, perStep: 1, counts: 1 }
    const alone = async (firstStep: number, path: number[]) => weightOf(training(firstStep, 1, { paths: [path], schedule }), common!)
    const start = await (await inThisThread()).weights.read(common!)
    const [a, b] = [await alone(0, [0, 2]), await alone(1, [1, 2])]
    const work = training(0, 2, {
      paths: [
        [0, 2],
        [1, 2],
      ],
      lanes: { count: 2, mergeEvery: 1 },
      schedule,
    })
    const merged = await weightOf(work, common!)
    const share = 2 ** -COMMON_EXPONENT
    for (const [i, from] of start.entries()) expect(merged[i]).toBeCloseTo(from + share * (a[i]! - from + (b[i]! - from)), 5)
    expect(OPERATION_EXPONENT).toBeGreaterThan(0)
  })
})
