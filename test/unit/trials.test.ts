// Architectures trained by themselves as tasks of a search: what an agent computes, who gets such a task, and a strategy that lives on
// them, in a simulation and with a real agent.

import { describe, expect, it } from 'vitest'
import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource } from '../../engine/datasets/index.ts'
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { trainFromScratch } from '../../engine/training/from-scratch.ts'
import { createTrainer } from '../../engine/training/trainer.ts'
import { withTrials } from '../../engine/training/trials-trainer.ts'
import {
  neededVersion,
  parentFingerprint,
  planShards,
  recipeSchema,
  type ResultOf,
  resultMismatch,
  type SearchConfig,
  searchConfigSchema,
  taskKinds,
  type TrialWork,
} from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import {
  createSetup,
  heartbeat,
  leaseTask,
  type OpenSearch,
  openSearch,
  registerAgent,
  releaseLease,
  searchStatus,
  startSearch,
  submitResult,
} from '../../rules/search/index.ts'
import { createSpace, inheritWeights, parseArchitecture, type Space } from '../../search-space/index.ts'
import type { Recorded, RecordedBenchmark } from '../../simulation/recorded-benchmark.ts'
import { simulateSearch } from '../../simulation/simulate-search.ts'
import { type AgentEvent, runAgent } from '../../worker-agent/agent/agent.ts'
import { createHeartbeats } from '../../worker-agent/agent/heartbeats.ts'
import { createSharedWork, localState } from '../../worker-agent/agent/shared-work.ts'
import { createWeightExchange } from '../../worker-agent/agent/weight-exchange.ts'
import type { CoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { makeRegistration, makeSetup, makeTable, settingOf, START_MS } from '../fixtures/searches.ts'
import { createToyStrategy, sealed } from '../fixtures/toy-strategy.ts'
import { path, SMALL_SPACE, smallDataset, space } from './training-images.ts'

const recipe = recipeSchema.parse({
  epochs: 2,
  batchSize: 24,
  statisticsBatches: 4,
  learningRate: 0.1,
  augmentation: { flip: false, shift: 0 },
})
const AGENT = 'a00000000000a'
const nothing = async () => undefined
const noParent = { readParent: async () => null }

function makeConfig(trials: number): SearchConfig {
  return searchConfigSchema.parse({
    name: 'trials',
    space: SMALL_SPACE,
    dataset: { name: 'small' },
    latency: { targetMs: 100, table: { name: 'bench' } },
    seed: 5,
    training: { steps: trials, batchSize: 8 },
  })
}

async function makeTrainer(config: SearchConfig, of: Space = space) {
  const { chosen: backend } = await openBackend('wasm')
  const dataset = smallDataset()
  const trainer = createTrainer({ backend, dataset, source: await openBatchSource(dataset), space: of, config })
  const notes: string[] = []
  return {
    backend,
    dataset,
    notes,
    steps: trainer,
    trainer: withTrials(trainer, {
      backend,
      dataset,
      space: of,
      config,
      accumulate: 'auto',
      threads: 1,
      onNote: (line) => void notes.push(line),
    }),
  }
}

const trial = (changes: Partial<TrialWork> = {}): TrialWork => ({
  kind: 'trainArchitecture',
  path: [...path],
  start: 'scratch',
  recipe,
  seed: 3,
  ...changes,
})

describe('what an agent computes of a trial', () => {
  it('is the training from scratch of its recipe and seed, on the shares of the search', async () => {
    const config = makeConfig(1)
    const { trainer, backend, dataset } = await makeTrainer(config)
    const left: number[] = []
    const { result } = await trainer.run(trial(), async (stepsLeft) => void left.push(stepsLeft))
    const alone = await trainFromScratch({ backend, dataset, space, path, recipe, seed: 3, shareSeed: config.seed })
    const { top1, crossEntropy, images } = alone.validation
    expect(result).toEqual({
      kind: 'trainArchitecture',
      end: 'finished',
      steps: 18,
      seconds: expect.any(Number) as number,
      validation: { crossEntropy, correct: Math.round(top1 * images), images },
      curve: alone.reports.map(({ step, trainLoss, validation }) => ({ step, loss: trainLoss, accuracy: validation?.top1 ?? null })),
    })
    expect((result as ResultOf<'trainArchitecture'>).seconds).toBeGreaterThan(0)
    expect(left).toEqual(Array.from({ length: 18 }, (_, i) => 17 - i))
    expect(resultMismatch(trial(), result, settingOf(space))).toBeNull()
    expect(trainer.keysOf(trial())).toEqual([])
  })

  it('begins with the weights of the supernet where it says so, and leaves them as they are', async () => {
    const config = makeConfig(1)
    const { trainer, steps, backend, dataset } = await makeTrainer(config)
    await steps.run({ kind: 'trainWeights', firstStep: 0, paths: Array.from({ length: 6 }, () => [...path]) }, nothing)
    const work = trial({ start: 'supernet' })
    const keys = trainer.keysOf(work)
    expect(keys).toEqual(steps.keysOf({ kind: 'evaluatePaths', paths: [[...path]], images: 8 }))
    const read = async () => Promise.all(keys.map(async (key) => [key, await steps.weights.read(key)] as const))
    const before = await read()
    const { result } = await trainer.run(work, nothing)
    expect(await read()).toEqual(before)
    const tensors = new Map(before.map(([key, values]) => [key, { shape: steps.weights.spec(key).shape, values }]))
    const initial = { fingerprint: 'f'.repeat(64), tensors }
    const alone = await trainFromScratch({ backend, dataset, space, path, recipe, seed: 3, shareSeed: config.seed, initial })
    const { curve } = result as ResultOf<'trainArchitecture'>
    expect(curve.map(({ loss }) => loss)).toEqual(alone.reports.map(({ trainLoss }) => trainLoss))
    const { result: scratch } = await trainer.run(trial(), nothing)
    expect(curve[0]?.loss).not.toBe((scratch as ResultOf<'trainArchitecture'>).curve[0]?.loss)
  })

  it('ends between two steps where its agent stops', async () => {
    const { trainer } = await makeTrainer(makeConfig(1))
    const seen: number[] = []
    const run = trainer.run(trial(), async (stepsLeft) => {
      seen.push(stepsLeft)
      if (stepsLeft === 12) throw new Error('stopped')
    })
    await expect(run).rejects.toThrow('stopped')
    expect(seen.at(-1)).toBeGreaterThanOrEqual(11)
  })

  it('goes on from its checkpoint to the same numbers, wherever it was left or broken off', async () => {
    const { trainer } = await makeTrainer(makeConfig(1))
    const { result: whole } = await trainer.run(trial(), nothing)
    let kept: Checkpoint | null = null
    const saved: number[] = []
    const checkpoints = {
      ...noParent,
      everyMs: Number.POSITIVE_INFINITY,
      read: async () => kept,
      async save(checkpoint: Checkpoint) {
        saved.push(checkpoint.step)
        kept = decodeCheckpoint(encodeCheckpoint(checkpoint))
      },
    }
    const rung = trial({ trial: 0, epochs: 1 })
    const { result: first } = await trainer.run(rung, nothing, checkpoints)
    expect(resultMismatch(rung, first, settingOf(space))).toBeNull()
    const { curve } = whole as ResultOf<'trainArchitecture'>
    expect(first).toMatchObject({ end: 'finished', steps: 9, curve: curve.slice(0, 1) })
    // An agent that is told to stop leaves what it has.
    const stopped = trainer.run(
      trial({ trial: 0 }),
      async (stepsLeft) => {
        if (stepsLeft === 4) throw new Error('stopped')
      },
      checkpoints,
    )
    await expect(stopped).rejects.toThrow('stopped')
    const left: number[] = []
    const { result: last } = await trainer.run(trial({ trial: 0 }), async (stepsLeft) => void left.push(stepsLeft), checkpoints)
    expect({ ...last, seconds: 0 }).toEqual({ ...whole, seconds: 0 })
    expect(saved[0]).toBe(9)
    expect(left[0]).toBe(18 - (saved[1] as number) - 1)
    expect(saved).toHaveLength(2)
  })

  it('comes to the same best weights in rungs as in one go: a rung is no evaluation of the recipe', async () => {
    const { trainer } = await makeTrainer(makeConfig(1))
    const keeping = recipeSchema.parse({
      ...recipe,
      epochs: 4,
      evaluateEvery: 2,
      keep: 'best',
      patience: 2,
      optimiser: 'adamw',
      learningRate: 0.01,
    })
    const { result: whole } = await trainer.run(trial({ recipe: keeping }), nothing)
    let kept: Checkpoint | null = null
    const save = async (checkpoint: Checkpoint) => void (kept = decodeCheckpoint(encodeCheckpoint(checkpoint)))
    const plan = { ...noParent, everyMs: Number.POSITIVE_INFINITY, read: async () => kept, save }
    for (const epochs of [1, 3]) {
      const { result } = await trainer.run(trial({ recipe: keeping, trial: 0, epochs }), nothing, plan)
      expect((result as ResultOf<'trainArchitecture'>).validation?.images).toBeGreaterThan(0)
    }
    const { result: last } = await trainer.run(trial({ recipe: keeping, trial: 0 }), nothing, plan)
    expect({ ...last, seconds: 0 }).toEqual({ ...whole, seconds: 0 })
  })

  it('begins anew from a checkpoint of another network', async () => {
    const { trainer } = await makeTrainer(makeConfig(1))
    let kept: Checkpoint | null = null
    const save = async (checkpoint: Checkpoint) => void (kept = checkpoint)
    const plan = { ...noParent, everyMs: Number.POSITIVE_INFINITY, save }
    await trainer.run(trial({ trial: 0, epochs: 1 }), nothing, { ...plan, read: async () => null })
    const other = { ...(kept as unknown as Checkpoint), identity: { ...(kept as unknown as Checkpoint).identity, network: '0'.repeat(64) } }
    const { result } = await trainer.run(trial({ trial: 0 }), nothing, { ...plan, read: async () => other })
    const { result: whole } = await trainer.run(trial(), nothing)
    expect({ ...result, seconds: 0 }).toEqual({ ...whole, seconds: 0 })
  })

  describe('that grows out of another one', () => {
    const wide = createSpace({ ...SMALL_SPACE, kernels: [3], expansions: [2, 3] })
    const [small, large] = [parseArchitecture(wide, 'small:mb2k3,mb2k3'), parseArchitecture(wide, 'small:mb2k3,mb3k3')]
    const child = (changes: Partial<TrialWork> = {}) =>
      trial({ path: [...large], trial: 1, start: { trial: 0, path: [...small] }, ...changes })
    const grownWeights = (parent: Checkpoint) => inheritWeights(wide, small, large, parent.weights, 3)

    /** Of the parent, at its end, and what its children are trained with. */
    async function trainParent() {
      const config = { ...makeConfig(1), space: { ...SMALL_SPACE, kernels: [3 as const], expansions: [2, 3] } }
      const made = await makeTrainer(config, wide)
      const kept: Checkpoint[] = []
      const save = async (checkpoint: Checkpoint) => void kept.push(decodeCheckpoint(encodeCheckpoint(checkpoint)))
      const plan = { everyMs: Number.POSITIVE_INFINITY, read: async () => null, save, readParent: async () => kept[0] ?? null }
      const { result } = await made.trainer.run(trial({ path: [...small], trial: 0, isParent: true }), nothing, plan)
      const parent = kept[0] as Checkpoint
      return { ...made, config, plan, kept, parent, result: result as ResultOf<'trainArchitecture'> }
    }

    it('begins with what that one computed at its end, and is the training of these weights', async () => {
      const { trainer, plan, parent, kept, backend, dataset, config, result: first } = await trainParent()
      expect(kept.map(({ step }) => step)).toEqual([18])
      const still = recipeSchema.parse({ ...recipe, steps: 1, epochs: undefined, learningRate: 1e-12, weightDecay: 0 })
      const { result: before } = await trainer.run(child({ recipe: still }), nothing, plan)
      const { validation } = before as ResultOf<'trainArchitecture'>
      expect(validation?.crossEntropy).toBeCloseTo(first.validation?.crossEntropy as number, 5)
      const { result } = await trainer.run(child(), nothing, plan)
      const initial = { fingerprint: parentFingerprint({ trial: 0, path: small }), tensors: grownWeights(parent) }
      const alone = await trainFromScratch({ backend, dataset, space: wide, path: large, recipe, seed: 3, shareSeed: config.seed, initial })
      const { curve } = result as ResultOf<'trainArchitecture'>
      expect(curve.map(({ loss }) => loss)).toEqual(alone.reports.map(({ trainLoss }) => trainLoss))
    })

    it('goes on from its own checkpoint where it has one, whether or not that of the other is still there', async () => {
      const { trainer, plan, kept } = await trainParent()
      const { result: whole } = await trainer.run(child(), nothing, plan)
      await trainer.run(child({ epochs: 1 }), nothing, plan)
      const own = kept.at(-1) as Checkpoint
      expect(own.step).toBe(9)
      const { result } = await trainer.run(child(), nothing, { ...plan, ...noParent, read: async () => own })
      expect({ ...result, seconds: 0 }).toEqual({ ...whole, seconds: 0 })
    })

    it('begins with random weights where the checkpoint of that one is gone, or of another network, and says so', async () => {
      const { trainer, plan, parent, notes } = await trainParent()
      const { result: scratch } = await trainer.run(trial({ path: [...large] }), nothing)
      for (const found of [null, { ...parent, identity: { ...parent.identity, architecture: 'small:mb3k3,mb3k3' } }]) {
        notes.length = 0
        const { result } = await trainer.run(child(), nothing, { ...plan, readParent: async () => found })
        expect({ ...result, seconds: 0 }).toEqual({ ...scratch, seconds: 0 })
        expect(notes.join()).toContain('a trial begins with random weights: there is no checkpoint of trial 0')
      }
    })
  })

  it('is a result where it diverges: another agent would come to the same', async () => {
    const { trainer } = await makeTrainer(makeConfig(1))
    const { result } = await trainer.run(trial({ recipe: { ...recipe, learningRate: 1e30 } }), nothing)
    expect(result).toMatchObject({ kind: 'trainArchitecture', end: 'diverged', validation: null })
    expect(resultMismatch(trial(), result, settingOf(space))).toBeNull()
  })
})

describe('a result of a trial', () => {
  const sound: ResultOf<'trainArchitecture'> = {
    kind: 'trainArchitecture',
    end: 'finished',
    steps: 20,
    seconds: 1,
    validation: { crossEntropy: 1, correct: 1, images: 2 },
    curve: [
      { step: 10, loss: 1, accuracy: null },
      { step: 20, loss: 1, accuracy: 0.5 },
    ],
  }
  const work = trial({ recipe: recipeSchema.parse({ steps: 20 }) })

  it.each<[string, Partial<typeof sound>, string]>([
    ['no measurement', { validation: null }, 'result.validation'],
    ['a measurement of what diverged', { end: 'diverged' }, 'result.validation'],
    ['a stop that the recipe has not', { end: 'stopped' }, 'result.end'],
    ['too few steps', { steps: 19 }, 'result.steps'],
    ['too many steps', { steps: 21 }, 'result.steps'],
    ['a curve that goes back', { curve: sound.curve.toReversed() }, 'result.curve[1].step'],
    ['a curve beyond the end', { curve: [{ step: 21, loss: 1, accuracy: null }] }, 'result.curve[0].step'],
  ])('is refused: %s', (_, changes, at) => {
    expect(resultMismatch(work, sound, settingOf(space))).toBeNull()
    expect(resultMismatch(work, { ...sound, ...changes }, settingOf(space))?.path).toBe(at)
  })
})

/** Every architecture has an accuracy that is its own. */
const benchmark: RecordedBenchmark = {
  name: 'small',
  citation: 'made up here',
  space: makeConfig(1).space as RecordedBenchmark['space'],
  images: 10_000,
  epochs: null,
  paths: () => [],
  read: (found) => ({
    test: null,
    seconds: null,
    accuracies: [0.5 + found.reduce((sum, option, i) => sum + (option + 1) / (10 * (i + 1)), 0) / 10],
  }),
}

describe('a strategy that trains each architecture by itself', () => {
  it.each([1, 3])('ends in the simulation with the best of what was trained, with %d agents', (agents) => {
    const strategy = sealed(createToyStrategy('ranking', recipe))
    const { search, evaluations, derive } = simulateSearch({ benchmark, config: makeConfig(12), agents, strategy })
    const evaluated = evaluations.map((evaluation) => evaluation.path)
    expect(evaluated).toHaveLength(12)
    const scores = evaluated.map((found) => Math.round((benchmark.read(found) as Recorded).accuracies[0]! * 10_000) / 10_000)
    const status = searchStatus(search)
    expect(status).toMatchObject({ phase: 'finished', steps: { done: 12, total: 12 }, tasks: { done: 12, failed: 0 } })
    expect(status.best.map(({ score }) => score)).toEqual(scores.toSorted((a, b) => b - a).slice(0, 5))
    expect(evaluated[scores.indexOf(Math.max(...scores))]).toEqual(derive())
    expect(search.store.rows.scan('', '', 100)).toHaveLength(12)
  })

  it('is not for agents that know trainings only by themselves', () => {
    const strategy = sealed(createToyStrategy('ranking', recipe))
    const store = createMemoryStore()
    startSearch(() => store, makeSetup({ steps: 2 }), strategy)
    const search = openSearch(store, strategy) as OpenSearch
    const { space: other } = search.context
    expect(neededVersion(trial({ trial: 4 }))).toBe(2)
    expect(neededVersion(trial({ recipe: { ...recipe, keep: 'best' } }))).toBe(3)
    expect(neededVersion(trial({ trial: 4, isParent: true }))).toBe(5)
    expect(neededVersion(trial({ trial: 4, start: { trial: 3, path: [0, 0] } }))).toBe(5)
    expect(neededVersion(trial({ epochs: 1 }))).toBe(4)
    registerAgent(search, { ...makeRegistration(other), kinds: { ...taskKinds, trainArchitecture: 1 } }, AGENT, START_MS)
    expect(() => leaseTask(search, AGENT, 'l000000000001', START_MS)).toThrow(
      /kind trainArchitecture, version 2, and agent .* knows version 1/,
    )
    expect(search.store.outstandingTasks()).toEqual([])
    registerAgent(search, makeRegistration(other), 'a00000000000b', START_MS)
    expect(leaseTask(search, 'a00000000000b', 'l000000000002', START_MS).kind).toBe('task')
  })

  it('is served by a real agent, which survives a trial that no agent can do', async () => {
    const config = makeConfig(4)
    const strategy = sealed(createToyStrategy('ranking', recipe))
    const store = createMemoryStore()
    startSearch(() => store, createSetup('s000000000000', config, { ...makeTable(space), version: 'f'.repeat(64) }, START_MS), strategy)
    const search = openSearch(store, strategy) as OpenSearch
    const { trainer, dataset } = await makeTrainer(config)
    const registration = makeRegistration(space, { fingerprint: dataset.fingerprint, classes: dataset.classes })
    registerAgent(search, registration, AGENT, START_MS)
    let leases = 0
    const unused = () => Promise.reject(new Error('not asked for'))
    const client: CoordinatorClient = {
      searchId: 's000000000000',
      bytes: { sent: 0, received: 0 },
      coordinatorVersion: unused,
      readSpace: unused,
      readBits: unused,
      register: unused,
      async lease(agentId) {
        leases += 1
        return leaseTask(search, agentId, `l${String(leases).padStart(12, '0')}`, START_MS)
      },
      heartbeat: async (ref) => heartbeat(search, ref, START_MS).kind,
      async release(ref, why = { reason: 'stopping' }) {
        releaseLease(search, { ...ref, ...why }, START_MS)
      },
      submit: async (request) => submitResult(search, request, START_MS),
      readCheckpoint: unused,
      storeCheckpoint: unused,
      pull: unused,
      push: unused,
    }
    const plan = planShards(space, config.weights.shardBytes)
    const events: AgentEvent[] = []
    const deadly = 2
    const moody = {
      ...trainer,
      run: (work: Parameters<typeof trainer.run>[0], betweenSteps: Parameters<typeof trainer.run>[1]) =>
        work.kind === 'trainArchitecture' && work.seed === deadly
          ? Promise.reject(new Error('out of memory'))
          : trainer.run(work, betweenSteps),
    }
    const end = await runAgent({
      client,
      registration: { agentId: AGENT },
      trainer: moody,
      exchange: createWeightExchange({ client, agent: { agentId: AGENT }, encoding: 'fp32', plan, weights: localState(trainer) }),
      sharedWork: createSharedWork(space, plan, trainer),
      heartbeats: createHeartbeats((ref) => client.heartbeat(ref)),
      stop: new AbortController().signal,
      onEvent: (event) => void events.push(event),
      patience: { troublesInARow: 100, firstMs: 1, longestMs: 1 },
    })
    expect(end).toEqual({ kind: 'finished', phase: 'finished' })
    const status = searchStatus(search)
    expect(status.tasks).toMatchObject({
      created: 4,
      done: 3,
      failed: 1,
      lastFailure: { taskId: 3, reason: 'failed', message: 'out of memory', attempts: 5 },
    })
    const scores = search.store.readLog(0, 10).flatMap((entry) => {
      if (entry.outcome === 'failed' || entry.result.kind !== 'trainArchitecture' || !entry.result.validation) return []
      return [entry.result.validation.correct / entry.result.validation.images]
    })
    expect(scores).toHaveLength(3)
    expect(status.best.map(({ score }) => score)).toEqual(scores.toSorted((a, b) => b - a))
    // Each is what a training by itself gives.
    const [first] = search.store.readLog(0, 1)
    if (first?.outcome === 'failed' || first?.work.kind !== 'trainArchitecture') throw new Error('expected a trial')
    const { result } = await trainer.run(first.work, nothing)
    expect({ ...result, seconds: 0 }).toEqual({ ...first.result, seconds: 0 })
    expect(events.filter(({ kind }) => kind === 'failed')).toHaveLength(5)
  })
})
