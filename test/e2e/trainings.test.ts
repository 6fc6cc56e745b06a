// Trainings from scratch that agents do: whatever dies meanwhile, the network is the one that one machine would have
// trained, to the last bit.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { MAX_WEIGHTS_BYTES, type TrainingStatus } from '../../protocol/index.ts'
import { readModelFolder } from '../../models/model-folder.ts'
import type { SpaceRef } from '../../search-space/index.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  waitFor,
  writeTinyDataset,
} from './harness.ts'

const folder = temporaryFolder()
const at = (...parts: string[]) => join(folder.path, ...parts)
/** 1080 images to train on. */
const EPOCHS = 6
const BATCH = 4
const STEPS_PER_EPOCH = 270
/** Longer than an agent goes without a heartbeat where other tests have the processor. */
const LEASE_S = 4
const RECIPE = {
  epochs: EPOCHS,
  batchSize: BATCH,
  learningRate: 0.02,
  averageDecay: 0.99,
  dropout: 0.1,
  statisticsBatches: 8,
  augmentation: { ...NO_AUGMENTATION, cutout: 2 },
}
const SETTINGS = [
  '--space',
  `@${at('space.json')}`,
  '--architecture',
  'tiny:mb2k3,zero,mb2k5',
  '--recipe',
  at('recipe.json'),
  '--seed',
  '5',
]

/** 4.3 million parameters, and so checkpoints of 52 MB: more than one request carries. */
const LARGE_SPACE = {
  ...TINY_SPACE,
  name: 'large',
  stages: [
    { width: 8, cells: 1, stride: 1 },
    { width: 512, cells: 1, stride: 2 },
  ],
  headWidth: 8192,
} satisfies SpaceRef
const LARGE_STEPS = 24
const LARGE_SETTINGS = ['--space', `@${at('large.json')}`, '--architecture', 'large:mb2k3,mb2k3', '--recipe', at('large-recipe.json')]

const createdSchema = z.object({ trainingId: z.string(), agentToken: z.string(), agentCommand: z.string() })

let state: ReturnType<typeof temporaryFolder>
let processes: Process[] = []

function started<T extends Process>(process: T): T {
  processes.push(process)
  return process
}

async function gatehouse(...args: string[]): Promise<unknown> {
  const process = started(startProcess('gatehouse/main.ts', [...args, '--json']))
  expect(await process.ended, process.output()).toBe(0)
  return JSON.parse(process.result())
}

async function startTraining(
  coordinator: Coordinator,
  more: readonly string[] = [],
  settings: readonly string[] = SETTINGS,
): Promise<{ trainingId: string; agent: (name: string, ...flags: string[]) => Process }> {
  const connection = ['--coordinator', coordinator.url, '--token', coordinator.token]
  const created = createdSchema.parse(
    await gatehouse('training', 'create', ...settings, '--dataset', 'tiny', '--lease', String(LEASE_S), ...more, ...connection),
  )
  const agent = (name: string, ...flags: string[]) =>
    started(startAgent(coordinator, created.agentToken, folder.path, ['--name', name, ...flags]))
  return { trainingId: created.trainingId, agent }
}

async function download(coordinator: Coordinator, trainingId: string, name: string): Promise<void> {
  const connection = ['--coordinator', coordinator.url, '--token', coordinator.token]
  await gatehouse('training', 'download', trainingId, '--wait', '--interval', '0.2', '--out', at(name), ...connection)
}

/** Each epoch reported once, and each trainer went on exactly where the one before had left a checkpoint. */
function expectEachEpochOnce(status: TrainingStatus): void {
  expect(status.phase).toBe('finished')
  expect(status.reports.map(({ epoch }) => epoch)).toEqual(Array.from({ length: EPOCHS }, (_, i) => i + 1))
  expect(status.reports.map(({ step }) => step)).toEqual(Array.from({ length: EPOCHS }, (_, i) => (i + 1) * STEPS_PER_EPOCH))
  const { trainers } = status
  expect(trainers.map(({ fromStep }) => fromStep)).toEqual([0, ...trainers.slice(0, -1).map(({ savedStep }) => savedStep)])
  expect(trainers.at(-1)).toMatchObject({ savedStep: EPOCHS * STEPS_PER_EPOCH, end: 'finished' })
}

const bytesOf = (name: string) => readFileSync(at(name, 'model.safetensors'))
const epochsOf = (process: Process) => [...process.output().matchAll(/^epoch (\d+) {2}step/gm)].map(([, epoch]) => Number(epoch))

beforeAll(async () => {
  writeTinyDataset(folder.path)
  writeFileSync(at('space.json'), JSON.stringify(TINY_SPACE))
  writeFileSync(at('recipe.json'), JSON.stringify(RECIPE))
  await gatehouse('train', ...SETTINGS, '--data', folder.path, '--cache', at('cache'), '--backend', 'wasm', '--test', '--out', at('whole'))
})
beforeEach(() => {
  state = temporaryFolder()
  processes = []
})
afterEach(() => {
  for (const process of processes) killGroup(process)
  state.remove()
})
afterAll(() => folder.remove())

describe('a training that agents do', () => {
  it('loses its agent in the middle of an epoch, and ends with the very network of an undisturbed one', async () => {
    const coordinator = await startCoordinator(state.path, await freePort())
    started(coordinator.process)
    const { trainingId, agent } = await startTraining(coordinator)
    const read = () => coordinator.client.trainingStatus(trainingId)
    const victim = agent('victim')
    await waitFor(async () => (await read()).phase === 'training', 'the first agent to train')
    const other = agent('other')
    await waitFor(async () => {
      const { progress, checkpoint } = await read()
      return checkpoint !== null && progress !== null && progress.step > checkpoint.step && other.output().includes('another agent trains')
    }, 'a step beyond a checkpoint')
    killGroup(victim)
    await victim.ended
    const left = await read()
    expect(left.checkpoint!.step % STEPS_PER_EPOCH).toBe(0)

    await download(coordinator, trainingId, 'handed-on')
    expect(await other.ended, other.output()).toBe(0)
    const status = await read()
    expectEachEpochOnce(status)
    expect(status.expiredLeases).toBe(1)
    expect(status.trainers).toMatchObject([
      { name: 'victim', end: 'expired' },
      { name: 'other', fromStep: left.checkpoint!.step },
    ])
    expect(epochsOf(other)[0]).toBe(left.checkpoint!.step / STEPS_PER_EPOCH + 1)
    expect(bytesOf('handed-on').equals(bytesOf('whole'))).toBe(true)
    const [whole, handedOn] = [readModelFolder(at('whole')).description, readModelFolder(at('handed-on')).description]
    expect({ ...handedOn, dataset: null }).toEqual({ ...whole, dataset: null })
    expect(handedOn.dataset?.fingerprint).toBe(whole.dataset?.fingerprint)
    await coordinator.stop()
  })

  it('interrupted, leaves a checkpoint from where it was; cut off from its coordinator, it goes on by itself', async () => {
    const port = await freePort()
    const first = await startCoordinator(state.path, port)
    started(first.process)
    const { trainingId, agent } = await startTraining(first)
    const early = agent('early')
    await waitFor(async () => ((await first.client.trainingStatus(trainingId)).progress?.step ?? 0) > 0, 'steps')
    early.child.kill('SIGINT')
    expect(await early.ended, early.output()).toBe(130)
    const left = await first.client.trainingStatus(trainingId)
    // On a machine with much else to do it may have lost a lease while it began.
    const had = left.trainers.at(-1)
    expect([left.phase, had?.name, had?.end]).toEqual(['waiting', 'early', 'released'])
    expect(left.checkpoint!.step).toBe(had?.savedStep)

    const late = agent('late')
    await waitFor(async () => (await first.client.trainingStatus(trainingId)).reports.length > left.reports.length, 'an epoch')
    killGroup(first.process)
    await first.process.ended
    // Longer than a lease: when the coordinator is back, the agent's has ended.
    await sleep((LEASE_S + 0.5) * 1000)
    const second = await startCoordinator(state.path, port)
    started(second.process)
    await download(second, trainingId, 'cut-off')
    expect(await late.ended, late.output()).toBe(0)
    const status = await second.client.trainingStatus(trainingId)
    expectEachEpochOnce(status)
    expect(status.trainers.slice(-3).map(({ name, end }) => [name, end])).toEqual([
      ['early', 'released'],
      ['late', 'expired'],
      ['late', 'finished'],
    ])
    expect(status.trainers.at(-2)?.fromStep).toBe(left.checkpoint!.step)
    // It was never set back: no epoch was trained twice.
    expect(new Set(epochsOf(late)).size).toBe(epochsOf(late).length)
    expect(bytesOf('cut-off').equals(bytesOf('whole'))).toBe(true)
    await second.stop()
  })

  it('of a network whose checkpoints no request could carry is handed on in parts, to the last bit', async () => {
    writeFileSync(at('large.json'), JSON.stringify(LARGE_SPACE))
    writeFileSync(at('large-recipe.json'), JSON.stringify({ ...RECIPE, epochs: undefined, steps: LARGE_STEPS }))
    const data = ['--data', folder.path, '--cache', at('cache'), '--backend', 'wasm']
    await gatehouse('train', ...LARGE_SETTINGS, ...data, '--test', '--out', at('large-whole'))
    const coordinator = await startCoordinator(state.path, await freePort())
    started(coordinator.process)
    const { trainingId, agent } = await startTraining(coordinator, ['--checkpoint-minutes', '0.03'], LARGE_SETTINGS)
    const read = () => coordinator.client.trainingStatus(trainingId)
    const victim = agent('victim')
    await waitFor(async () => (await read()).checkpoint !== null, 'a checkpoint')
    killGroup(victim)
    await victim.ended
    const left = await read()
    expect(left.checkpoint!.step).toBeLessThan(LARGE_STEPS)
    expect(left.checkpoint!.bytes).toBeGreaterThan(1.5 * MAX_WEIGHTS_BYTES)

    const other = agent('other')
    await download(coordinator, trainingId, 'large-handed-on')
    expect(await other.ended, other.output()).toBe(0)
    const status = await read()
    expect(status.trainers.at(-1)).toMatchObject({ name: 'other', fromStep: left.checkpoint!.step, end: 'finished' })
    expect(bytesOf('large-handed-on').equals(bytesOf('large-whole'))).toBe(true)
    await coordinator.stop()
  })

  it('starts from given weights and learns from a teacher as one machine would', async () => {
    const given = ['--epochs', '2', '--weights', at('whole', 'model.safetensors'), '--teacher', at('whole')]
    const data = ['--data', folder.path, '--cache', at('cache'), '--backend', 'wasm']
    await gatehouse('train', ...SETTINGS, ...given, ...data, '--test', '--out', at('taught'))
    const coordinator = await startCoordinator(state.path, await freePort())
    started(coordinator.process)
    const { trainingId, agent } = await startTraining(coordinator, given)
    const trainer = agent('trainer')
    await download(coordinator, trainingId, 'taught-by-agents')
    expect(await trainer.ended, trainer.output()).toBe(0)
    expect(bytesOf('taught-by-agents').equals(bytesOf('taught'))).toBe(true)
    const [one, agents] = ['taught', 'taught-by-agents'].map((name) => readModelFolder(at(name)).description.training)
    expect(one?.['teacher']).toMatch(/^[0-9a-f]{64}$/)
    expect(agents).toEqual(one)
    await coordinator.stop()
  })

  it('in two threads, by agents that hand it on, ends as one machine with two threads would', async () => {
    const data = ['--data', folder.path, '--cache', at('cache'), '--backend', 'wasm']
    await gatehouse('train', ...SETTINGS, '--epochs', '3', '--threads', '2', ...data, '--test', '--out', at('threads'))
    const coordinator = await startCoordinator(state.path, await freePort())
    started(coordinator.process)
    const { trainingId, agent } = await startTraining(coordinator, ['--epochs', '3'])
    const victim = agent('victim', '--concurrency', '2')
    await waitFor(async () => (await coordinator.client.trainingStatus(trainingId)).checkpoint !== null, 'a checkpoint')
    killGroup(victim)
    await victim.ended
    const other = agent('other', '--concurrency', '2')
    await download(coordinator, trainingId, 'threads-by-agents')
    expect(await other.ended, other.output()).toBe(0)
    expect(other.output()).toContain('2 threads share each mini-batch')
    expect(bytesOf('threads-by-agents').equals(bytesOf('threads'))).toBe(true)
    await coordinator.stop()
  })

  it('that diverges ends for every agent, and says so', async () => {
    const coordinator = await startCoordinator(state.path, await freePort())
    started(coordinator.process)
    const { trainingId, agent } = await startTraining(coordinator, ['--rate', '100', '--set', 'momentum=0.999', '--set', 'averageDecay=0'])
    // Two that are there at once are both asked; one that comes too late for that is told how it ended.
    for (const process of ['first', 'second'].map((name) => agent(name))) {
      expect(await process.ended, process.output()).toBe(0)
      expect(JSON.parse(process.result())).toMatchObject({ trainingId, end: 'diverged' })
    }
    const status = await coordinator.client.trainingStatus(trainingId)
    expect(status).toMatchObject({ phase: 'diverged', modelBytes: null })
    // On a machine with much else to do one may have lost a lease while it began.
    expect([1, 2]).toContain(status.leases - status.expiredLeases)
    const connection = ['--coordinator', coordinator.url, '--token', coordinator.token]
    const fetching = started(startProcess('gatehouse/main.ts', ['training', 'download', trainingId, '--out', at('none'), ...connection]))
    expect(await fetching.ended).toBe(1)
    expect(fetching.output()).toContain('diverged')
    await coordinator.stop()
  })
})
