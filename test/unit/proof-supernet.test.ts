// Supernets of the proof and searches with them, on a space that is trained within a test.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource } from '../../engine/datasets/index.ts'
import { createThreadsTrainer } from '../../engine/training/lanes/threads-trainer.ts'
import { createTrainer, type Trainer } from '../../engine/training/trainer.ts'
import { costsOf } from '../../proof/costs.ts'
import { runSearch } from '../../proof/search.ts'
import { createEvaluator } from '../../proof/shared-accuracy.ts'
import { type Cost, readSupernet, restore, trainSupernet } from '../../proof/supernet.ts'
import { type SearchConfigInput, searchConfigSchema } from '../../protocol/index.ts'
import { resolveSpaceConfig } from '../../search-space/index.ts'
import { rowsOver, type StrategyContext } from '../../strategies/index.ts'
import { path, smallDataset, SMALL_SPACE, space } from './training-images.ts'

const STEPS = 60
const dataset = smallDataset()
const costs = costsOf(space, null)
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-supernet-'))
afterAll(() => rmSync(folder, { recursive: true }))

const open: Trainer[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((trainer) => trainer.close()))
})

function contextOf(strategy: NonNullable<SearchConfigInput['strategy']>, steps = STEPS, limit = 1e9): StrategyContext {
  const config = searchConfigSchema.parse({
    space: SMALL_SPACE,
    dataset: { name: 'small' },
    latency: { targetMs: limit, table: { name: 'proof' }, loss: { kind: 'add#abs' } },
    seed: 3,
    strategy,
    training: { steps, batchSize: 12, augmentation: { flip: false, shift: 1 } },
    tasks: { weightSteps: 20 },
  })
  return { space, latency: costs.latency, config, rows: rowsOver(new Map()) }
}

async function openTrainer(): Promise<Trainer> {
  const { chosen: backend } = await openBackend('wasm')
  const source = await openBatchSource(dataset)
  const trainer = createTrainer({ backend, dataset, source, space, config: contextOf({ name: 'spos' }).config, accumulate: 1 })
  open.push(trainer)
  return trainer
}

const optionsOf = (file: string) => ({
  context: contextOf({ name: 'spos' }),
  sampling: 'fair' as const,
  threads: 1,
  file,
  identity: 'mine',
  curveEvery: 20,
  interrupted: new AbortController().signal,
  onProgress: () => undefined,
})

/** Trains until it has ended, or `breakOff` says so after a task. */
async function train(file: string, breakOff: (cost: Cost) => boolean = () => false): Promise<void> {
  const interrupt = new AbortController()
  await trainSupernet({
    ...optionsOf(file),
    trainer: await openTrainer(),
    interrupted: interrupt.signal,
    onProgress: (cost) => {
      if (breakOff(cost)) interrupt.abort(new Error('broken off'))
    },
  })
}

describe('a supernet', () => {
  it('that was broken off goes on to the weights that it would have had', async () => {
    const [whole, broken] = ['whole', 'broken'].map((name) => join(folder, `${name}.safetensors`)) as [string, string]
    await train(whole)
    await expect(train(broken, ({ steps }) => steps >= 20)).rejects.toThrow('broken off')
    expect(readSupernet(broken, 'mine')?.cost.steps).toBe(20)
    await train(broken)
    const [expected, found] = [readSupernet(whole, 'mine'), readSupernet(broken, 'mine')]
    expect(found?.tensors).toEqual(expected?.tensors)
    expect(found?.cost).toMatchObject({ steps: STEPS, images: STEPS * 12 })
    expect(found?.cost.curve.map(({ step, loss }) => [step, loss])).toEqual(expected?.cost.curve.map(({ step, loss }) => [step, loss]))
    expect(found?.cost.curve[2]?.loss).toBeLessThan(found?.cost.curve[0]?.loss as number)
  })

  it('is broken off, and kept, by a signal that comes while steps are computed, and so is a search', async () => {
    const soon = () => {
      const interrupt = new AbortController()
      setImmediate(() => interrupt.abort(new Error('broken off')))
      return interrupt.signal
    }
    const trainer = await openTrainer()
    const file = join(folder, 'signal.safetensors')
    await expect(trainSupernet({ ...optionsOf(file), trainer, interrupted: soon() })).rejects.toThrow('broken off')
    expect(readSupernet(file, 'mine')?.cost.steps).toBe(20)
    const context = contextOf({ name: 'spos', population: 4, generations: 2, images: 24, parents: 2 }, 1)
    await expect(runSearch(trainer, context, soon())).rejects.toThrow('broken off')
  })

  it('is trained by two threads for as many effective steps, which takes more images', async () => {
    const { chosen: backend } = await openBackend('wasm')
    const { config } = contextOf({ name: 'spos' })
    const { signal: stop } = new AbortController()
    const shared = { backend, allowSoftwareAdapter: false, dataset, accumulate: 1, stop, onNote: () => undefined } as const
    const trainer = createThreadsTrainer({ ...shared, threads: 2, space: resolveSpaceConfig(SMALL_SPACE), config })
    open.push(trainer)
    const file = join(folder, 'threads.safetensors')
    await trainSupernet({ ...optionsOf(file), trainer, sampling: 'uniform', threads: 2 })
    const cost = readSupernet(file, 'mine')?.cost
    expect(cost?.steps).toBe(STEPS)
    expect(cost?.images).toBeGreaterThan(STEPS * 12)
    expect(cost?.curve.at(-1)?.loss).toBeLessThan(cost?.curve[0]?.loss as number)
  })

  it('of other settings is refused', async () => {
    const file = join(folder, 'mine.safetensors')
    await train(file)
    expect(() => readSupernet(file, 'another')).toThrow('is of another supernet: expected another, got mine')
    expect(readSupernet(join(folder, 'none.safetensors'), 'mine')).toBeNull()
  })

  it('is searched by the steps of each strategy, its weights left as they are', async () => {
    const file = join(folder, 'searched.safetensors')
    await train(file)
    const supernet = readSupernet(file, 'mine')
    if (!supernet) throw new Error('expected a supernet')
    const trainer = await openTrainer()
    restore(trainer, space, supernet)
    const limit = costs.of(path)
    const { signal } = new AbortController()
    const few = { warmupSteps: 0, archEvery: 1, evaluateEvery: 1_000_000 }
    const searches = {
      gates: contextOf({ name: 'proxyless-g', form: 'full', ...few }, 8, limit),
      samples: contextOf({ name: 'fp-nas', images: 12, leastSamples: 3, ...few }, 4, limit),
      evolution: contextOf({ name: 'spos', population: 4, generations: 2, images: 24, parents: 2 }, 1, limit),
    }
    const gates = await runSearch(trainer, searches.gates, signal)
    // An evaluation of the answer at the end, on what the validation share of 24 images has.
    expect(gates.images).toBe(8 * 12 + 24)
    const samples = await runSearch(trainer, searches.samples, signal)
    expect(samples.images).toBe(4 * 3 * 12 + 24)
    const evolution = await runSearch(trainer, searches.evolution, signal)
    expect(evolution.images % 24).toBe(0)
    expect(evolution.images / 24).toBeGreaterThan(4)
    expect(evolution.view.kind).toBe('population')
    expect(costs.of(evolution.derived)).toBeLessThanOrEqual(limit)
    for (const { key } of space.weightSpecs) {
      expect(await trainer.weights.read(key)).toEqual(supernet.tensors.get(`weights/${key}`)?.values)
    }
  })

  it('is evaluated on the same images with statistics of each mini-batch and with those of training images', async () => {
    const trainer = await openTrainer()
    const { config } = contextOf({ name: 'spos' })
    const source = await openBatchSource(dataset)
    const evaluator = await createEvaluator({ trainer, dataset, source, space, config, images: 24, statisticsBatches: 3 })
    const { batch, reestimated } = await evaluator.evaluate(path)
    const { result } = await trainer.run({ kind: 'evaluatePaths', paths: [[...path]], images: 24 }, async () => undefined)
    const [expected] = result.paths
    expect(batch.loss).toBeCloseTo(expected?.crossEntropy as number, 6)
    expect(batch.accuracy).toBeCloseTo((expected?.correct as number) / 24, 9)
    expect(Math.abs((reestimated?.loss ?? batch.loss) - batch.loss)).toBeGreaterThan(1e-4)
    evaluator.dispose()
    const plain = await createEvaluator({ trainer, dataset, source, space, config, images: 24, statisticsBatches: 0 })
    expect(await plain.evaluate(path)).toEqual({ batch })
    plain.dispose()
  })
})
