import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { decodeSafetensors, planShards, type SearchConfig, searchConfigSchema, type Tensor } from '../../protocol/index.ts'
import { createSpace, initialWeights } from '../../search-space/index.ts'
import { openBackend } from '../../engine/backends/backends.ts'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { openBatchSource, openDataset } from '../../engine/datasets/index.ts'
import { createTrainer, type Trainer } from '../../engine/training/trainer.ts'
import {
  type Coordinator,
  freePort,
  NO_AUGMENTATION,
  readLog,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  tinyTable,
  waitFor,
  waitForPhase,
  writeTinyDataset,
} from './harness.ts'
import { resultsOf } from '../fixtures/searches.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'

const state = temporaryFolder()
const data = temporaryFolder()
let coordinator: Coordinator

beforeAll(async () => {
  writeTinyDataset(data.path)
  coordinator = await startCoordinator(state.path, await freePort())
  await coordinator.client.publishTable(tinyTable())
})
afterAll(async () => {
  await coordinator.stop()
  state.remove()
  data.remove()
})

/** Largest difference of two lists relative to the largest magnitude in them. */
function relativeDifference(a: Float32Array, b: Float32Array): number {
  const scale = Math.max(...a.map(Math.abs), ...b.map(Math.abs), 1e-6)
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN)))) / scale
}

/** What `gatehouse search weights` writes. */
async function writeWeights(searchId: string): Promise<ReadonlyMap<string, Tensor>> {
  const out = `${data.path}/supernet.safetensors`
  const connection = ['--coordinator', coordinator.url, '--token', coordinator.token]
  const process = startProcess('gatehouse/main.ts', ['search', 'weights', searchId, '--out', out, ...connection, '--json'])
  expect(await process.ended, process.output()).toBe(0)
  return decodeSafetensors(new Uint8Array(readFileSync(out))).tensors
}

/** Those of a search and of a trainer in this process that did the same; how many the search has moved. */
async function expectSameWeights(
  created: { searchId: string; agentToken: string },
  config: SearchConfig,
  trainer: Trainer,
): Promise<number> {
  const space = createSpace(config.space)
  const client = createCoordinatorClient({
    coordinator: coordinator.url,
    token: created.agentToken,
    signal: new AbortController().signal,
  })
  const plan = planShards(space, config.weights.shardBytes)
  expect(plan.count).toBeGreaterThan(1)
  let moved = 0
  for (let shard = 0; shard < plan.count; shard++) {
    const keys = space.weightSpecs.map((spec) => spec.key).filter((key) => plan.shardOf.get(key) === shard)
    const pulled = await client.pull(shard, Object.fromEntries(keys.map((key) => [key, -1])))
    for (const key of keys) {
      const remote = pulled.get(key)
      expect(remote, key).toBeDefined()
      if (remote && remote.version > 0) moved += 1
      expect(relativeDifference(remote?.values ?? new Float32Array(), await trainer.weights.read(key)), key).toBeLessThan(1e-5)
    }
  }
  return moved
}

async function trainerOf(config: SearchConfig): Promise<Trainer> {
  const { chosen: backend } = await openBackend('wasm')
  const dataset = await openDataset(data.path, { cacheFolder: `${data.path}/cache` })
  return createTrainer({ backend, dataset, source: await openBatchSource(dataset), space: createSpace(config.space), config })
}

describe('one agent alone', () => {
  it('gets with fp32 exactly the training that a single process would do, over several shards', async () => {
    const input = tinySearch({ weights: { shardBytes: 8192 } })
    const created = await coordinator.client.createSearch(input)
    const agent = startAgent(coordinator, created.agentToken, data.path)
    const status = await waitForPhase(coordinator.client, created.searchId, 'finished')
    expect(await agent.ended).toBe(0)
    expect(status.weightSteps).toEqual({ done: 400, total: 400 })

    // The same steps once more, in this process, from the result log and the seed alone.
    const config = searchConfigSchema.parse(input)
    const space = createSpace(config.space)
    const trainer = await trainerOf(config)
    const entries = resultsOf(await readLog(coordinator, created.searchId))
    for (const { work, result } of entries) {
      if (work.kind === 'trainArchitecture') throw new Error('expected steps on the supernet')
      const { result: again } = await trainer.run(work, async () => undefined)
      if (again.kind === 'trainWeights' && result.kind === 'trainWeights') expect(again.loss).toBe(result.loss)
      if (again.kind === 'gateGradients' && result.kind === 'gateGradients') {
        const gradients = again.steps.flatMap((step) => step.gateGradients.flatMap((block) => block ?? []))
        const pushed = result.steps.flatMap((step) => step.gateGradients.flatMap((block) => block ?? []))
        expect(gradients).toEqual(pushed)
      }
    }
    const trained = entries.filter((entry) => entry.work.kind === 'trainWeights').length
    expect(trained).toBe(20)

    const moved = await expectSameWeights(created, config, trainer)
    expect(moved).toBe(space.weightSpecs.length)

    // And as a file for trainings to begin with.
    const supernet = await writeWeights(created.searchId)
    expect([...supernet.keys()]).toEqual(space.weightSpecs.map(({ key }) => key))
    for (const [key, { values }] of supernet) expect(relativeDifference(values, await trainer.weights.read(key)), key).toBeLessThan(1e-5)
    writeFileSync(`${data.path}/space.json`, JSON.stringify(config.space))
    const settings = ['--space', `@${data.path}/space.json`, '--architecture', status.current.encoding, '--data', data.path]
    const from = ['--cache', `${data.path}/cache`, '--weights', `${data.path}/supernet.safetensors`]
    const recipe = ['--steps', '10', '--batch', '16', '--backend', 'wasm', '--json']
    const again = startProcess('gatehouse/main.ts', ['train', ...settings, ...from, ...recipe])
    expect(await again.ended, again.output()).toBe(0)
    // Far above chance, 0.25, after ten steps.
    expect(z.object({ accuracy: z.number() }).parse(JSON.parse(again.result())).accuracy).toBeGreaterThan(0.6)
  })

  it('does so where paths read parts of weights', async () => {
    const input = tinySearch({
      name: 'sliced',
      space: SLICED_SPACE,
      latency: { targetMs: 20, table: { name: 'sliced' } },
      strategy: { name: 'fp-nas', evaluateEvery: 60, images: 64 },
      training: { steps: 120, batchSize: 16, augmentation: NO_AUGMENTATION },
      weights: { shardBytes: 8192 },
    })
    await coordinator.client.publishTable({ ...tinyTable(SLICED_SPACE), name: 'sliced' })
    const created = await coordinator.client.createSearch(input)
    const agent = startAgent(coordinator, created.agentToken, data.path)
    await waitForPhase(coordinator.client, created.searchId, 'finished')
    expect(await agent.ended).toBe(0)
    const config = searchConfigSchema.parse(input)
    const trainer = await trainerOf(config)
    for (const { work, result } of resultsOf(await readLog(coordinator, created.searchId))) {
      if (work.kind === 'trainArchitecture') throw new Error('expected steps on the supernet')
      expect((await trainer.run(work, async () => undefined)).result).toEqual(result)
    }
    expect(await expectSameWeights(created, config, trainer)).toBeGreaterThan(0)
  })

  it('has not begun: the file of weights has those that every agent begins with', async () => {
    const created = await coordinator.client.createSearch(tinySearch({ name: 'not begun' }))
    const space = createSpace(TINY_SPACE)
    const weights = await writeWeights(created.searchId)
    for (const spec of space.weightSpecs) expect(weights.get(spec.key)?.values, spec.key).toEqual(initialWeights(spec, 7))
    await coordinator.client.deleteSearch(created.searchId)
  })

  it.each(['bf16', 'int8'] as const)('learns with %s: the accuracy of the derived architecture ends far above chance', async (encoding) => {
    const created = await coordinator.client.createSearch(tinySearch({ name: encoding, weights: { encoding } }))
    const agent = startAgent(coordinator, created.agentToken, data.path)
    const status = await waitForPhase(coordinator.client, created.searchId, 'finished')
    expect(await agent.ended).toBe(0)
    expect(status.validation.accuracy).toBeGreaterThan(0.9)
    expect(status.validation.atStep).toBe(400)
  })

  it('gives its lease back on Ctrl-C, and the task is handed out again at once', async () => {
    const created = await coordinator.client.createSearch(
      tinySearch({
        name: 'interrupted',
        tasks: { weightSteps: 200, leaseMs: 600_000 },
        training: { steps: 4000, batchSize: 16, augmentation: NO_AUGMENTATION },
      }),
    )
    const agent = startAgent(coordinator, created.agentToken, data.path)
    await waitFor(async () => (await coordinator.client.searchStatus(created.searchId)).tasks.done > 0, 'a first result')
    agent.child.kill('SIGINT')
    expect(await agent.ended).toBe(130)
    const { tasks } = await coordinator.client.searchStatus(created.searchId)
    expect(tasks.leased).toBe(0)
    expect(tasks.queued).toBeGreaterThan(0)
    expect(tasks.created).toBe(tasks.done + tasks.queued)
    await coordinator.client.changePhase(created.searchId, 'stop')
  })

  it('with --concurrency trains paths side by side in threads, under one lease, as one process would, and stops on Ctrl-C', async () => {
    const input = tinySearch({ name: 'threads' })
    const created = await coordinator.client.createSearch(input)
    const agent = startAgent(coordinator, created.agentToken, data.path, ['--concurrency', '3', '--name', 'host'])
    const status = await waitForPhase(coordinator.client, created.searchId, 'finished')
    expect(await agent.ended, agent.output()).toBe(0)
    expect(status.agents.map(({ name, lanes }) => ({ name, lanes }))).toEqual([{ name: 'host', lanes: 3 }])
    expect(status.tasks.done).toBe(status.tasks.created)
    expect(JSON.parse(agent.result())).toMatchObject({ end: 'finished', agentId: status.agents[0]?.agentId, tasks: status.tasks.created })

    // The same tasks once more, lane after lane, in this process.
    const config = searchConfigSchema.parse(input)
    const { chosen: backend } = await openBackend('wasm')
    const dataset = await openDataset(data.path, { cacheFolder: `${data.path}/cache` })
    const trainer = createTrainer({ backend, dataset, source: await openBatchSource(dataset), space: createSpace(config.space), config })
    const entries = resultsOf(await readLog(coordinator, created.searchId))
    expect(entries.some(({ work }) => work.kind === 'trainWeights' && work.lanes?.count === 3)).toBe(true)
    for (const { work, result } of entries) {
      if (work.kind === 'trainArchitecture') throw new Error('expected steps on the supernet')
      expect((await trainer.run(work, async () => undefined)).result).toEqual(result)
    }

    const long = await coordinator.client.createSearch(
      tinySearch({ name: 'threads, interrupted', training: { steps: 100_000, batchSize: 16 } }),
    )
    const second = startAgent(coordinator, long.agentToken, data.path, ['--concurrency', '2'])
    await waitFor(async () => (await coordinator.client.searchStatus(long.searchId)).tasks.done > 3, 'results')
    second.child.kill('SIGINT')
    expect(await second.ended).toBe(130)
    expect((await coordinator.client.searchStatus(long.searchId)).tasks.leased).toBe(0)
  })

  it('is refused with both fingerprints named when its data is not the search’s', async () => {
    const other = temporaryFolder()
    writeTinyDataset(other.path, 2)
    const fingerprint = (await openDataset(data.path, { cacheFolder: `${data.path}/cache` })).fingerprint
    const created = await coordinator.client.createSearch(tinySearch({ dataset: { name: 'tiny', fingerprint } }))
    const agent = startAgent(coordinator, created.agentToken, other.path)
    expect(await agent.ended).toBe(6)
    expect(agent.output()).toContain(fingerprint)
    expect(agent.output()).toContain((await openDataset(other.path, { cacheFolder: `${other.path}/cache` })).fingerprint)
    other.remove()
  })
})
