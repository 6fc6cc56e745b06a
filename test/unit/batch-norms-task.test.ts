// BN-NAS on an agent: weight steps on batch-norms alone, and what their scales come to.

import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { batchNormKeys, lastScales } from '../../engine/training/batch-norms.ts'
import type { Trainer } from '../../engine/training/trainer.ts'
import { resultMismatch, searchConfigSchema, type WorkOf } from '../../protocol/index.ts'
import { createSpace } from '../../search-space/index.ts'
import { openInThisThread, openInThreads } from './small-trainers.ts'
import { SMALL_SPACE, space } from './training-images.ts'

const fixture = new URL('../fixtures/shared-weight-options.json', import.meta.url)
const { indicators } = z
  .object({ indicators: z.array(z.object({ blocks: z.array(z.int()), value: z.number() })) })
  .parse(JSON.parse(readFileSync(fixture, 'utf8')))

const config = searchConfigSchema.parse({
  name: 'batch-norms',
  space: SMALL_SPACE,
  dataset: { name: 'small' },
  latency: { targetMs: 100, table: { name: 'bench' } },
  seed: 5,
  strategy: { name: 'spos' },
  training: { steps: 4, batchSize: 8, learningRate: 0.1 },
})
const paths = [
  [0, 1],
  [1, 0],
  [0, 0],
]
const nothing = async () => undefined
const open: Trainer[] = []
afterAll(async () => {
  await Promise.all(open.map((trainer) => trainer.close()))
})

function keep(trainer: Trainer): Trainer {
  open.push(trainer)
  return trainer
}
const inThisThread = async () => keep(await openInThisThread({ config }))

const train: WorkOf<'trainWeights'> = { kind: 'trainWeights', firstStep: 0, paths, trained: 'batch-norms' }

async function read(trainer: Trainer): Promise<Map<string, Float32Array>> {
  return new Map(await Promise.all(trainer.keysOf(train).map(async (key) => [key, await trainer.weights.read(key)] as const)))
}

describe('weight steps on batch-norms', () => {
  it('change scales and offsets of every batch-norm on the paths, and nothing else', async () => {
    const trainer = await inThisThread()
    const before = await read(trainer)
    const { result } = await trainer.run(train, nothing)
    expect(resultMismatch(train, result, { decisions: space.decisions, batchSize: 8 })).toBeNull()
    const after = await read(trainer)
    const changed = [...before].filter(([key, values]) => !values.every((value, i) => value === after.get(key)?.[i])).map(([key]) => key)
    const wanted = new Set(paths.flatMap((path) => [...batchNormKeys(space.network(path))]))
    expect(new Set(changed)).toEqual(wanted)
    expect(wanted.size).toBeLessThan(before.size)
  })

  it('change them as steps on all weights do, as long as the others have not moved', async () => {
    const one = { ...train, paths: paths.slice(0, 1) }
    const [part, all] = [await inThisThread(), await inThisThread()]
    await part.run(one, nothing)
    await all.run({ kind: 'trainWeights', firstStep: 0, paths: one.paths }, nothing)
    for (const key of batchNormKeys(space.network(paths[0] as number[])))
      expect(await part.weights.read(key)).toEqual(await all.weights.read(key))
  })
})

describe('the scales of batch-norms', () => {
  it('are summed over the last batch-norm of each block, as an independent computation in float64 does', async () => {
    const trainer = await inThisThread()
    const gammas = [...batchNormKeys(space.network([0, 1]))].filter((key) => key.endsWith('.gamma'))
    const lasts = ['stem/conv/conv.gamma', 'stage1.1/mb2k3/project.gamma', 'stage1.2/mb2k5/project.gamma', 'head/conv/conv.gamma']
    const zero = (key: string) => trainer.weights.write(key, new Float32Array(trainer.weights.spec(key).shape[0] as number))
    for (const { blocks, value } of indicators) {
      // All others are as large as they like.
      for (const key of gammas) trainer.weights.write(key, new Float32Array(trainer.weights.spec(key).shape[0] as number).fill(100))
      for (const key of gammas.filter((name) => !name.includes('/expand') && !name.includes('/depthwise'))) zero(key)
      for (const block of blocks) {
        trainer.weights.write(
          lasts[block] as string,
          Float32Array.from({ length: 8 }, (_, c) => Math.sin(1 + 3 * block + c)),
        )
      }
      const { result } = await trainer.run({ kind: 'batchNormScales', paths: [[0, 1]] }, nothing)
      expect(result.scales[0]).toBeCloseTo(value, 6)
    }
  })

  it('count nothing for a block without one, and the channels that are read of one that is shared by parts', async () => {
    const trainer = await inThisThread()
    const scales = async (path: number[]) => (await trainer.run({ kind: 'batchNormScales', paths: [path] }, nothing)).result.scales[0]
    // All scales start at 1.
    expect(await scales([0, 1])).toBe((await scales([0, 2]))! + 1)
    const shared = createSpace('fbnetv2-mini')
    // Blocks are there (no skip), and as narrow as they can be.
    const graph = shared.network(shared.decisions.map(({ name }) => (name.endsWith('.kernel') ? 1 : 0)))
    const firstChannels = { read: async (key: string) => Float32Array.from({ length: sizeOf(key) }, (_, c) => (c < 2 ? 3 : 1)) }
    const sizeOf = (key: string) => shared.weightSpecs.find((spec) => spec.key === key)?.shape[0] ?? 0
    const norms = new Map(
      graph.layers.flatMap((layer) => (layer.kind === 'batchNorm' ? [[layer.gamma.slice(0, layer.gamma.lastIndexOf('/')), layer]] : [])),
    )
    const expected = [...norms.values()].reduce((sum, { shape }) => sum + 1 + 4 / (shape.at(-1) as number), 0)
    expect(await lastScales(graph, firstChannels)).toBeCloseTo(expected, 9)
    expect([...norms.values()].some(({ gamma, shape }) => (shape.at(-1) as number) < sizeOf(gamma))).toBe(true)
  })

  it('are the same in threads, and leave weights as they are', async () => {
    const work: WorkOf<'batchNormScales'> = { kind: 'batchNormScales', paths: [...paths, [0, 2]] }
    const trainer = await inThisThread()
    await trainer.run(train, nothing)
    const before = await read(trainer)
    const { result } = await trainer.run(work, nothing)
    expect(await read(trainer)).toEqual(before)
    expect(new Set(result.scales).size).toBe(4)
    expect(resultMismatch(work, result, { decisions: space.decisions, batchSize: 8 })).toBeNull()
    expect(resultMismatch(work, { ...result, scales: [1] }, { decisions: space.decisions, batchSize: 8 })?.path).toBe('result.scales')
    const threads = keep(await openInThreads(2, { config }))
    await threads.run(train, nothing)
    expect((await threads.run(work, nothing)).result).toEqual(result)
  })
})
