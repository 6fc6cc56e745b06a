// A search that somebody spoils, within all the rules, is taken back to before it under agents that go on working.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { planShards, type RolledBack, type SnapshotList, type Tensor } from '../../protocol/index.ts'
import { createSpace, createWeightUse, usedOptions } from '../../search-space/index.ts'
import { createCoordinatorClient } from '../../worker-agent/client/coordinator-client.ts'
import { makeRegistration } from '../fixtures/searches.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
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

const STEPS = 1000
const SNAPSHOT_STEPS = 100
const HOSTILE_TASKS = 2
/** In which somebody else takes what was given back. */
const RELEASED_MS = 50

const folder = temporaryFolder()
const data = temporaryFolder()
let coordinator: Coordinator
let agents: Process[] = []

beforeAll(async () => {
  writeTinyDataset(data.path)
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
  await coordinator.client.publishTable(tinyTable())
})
afterAll(async () => {
  for (const agent of agents) killGroup(agent)
  await coordinator.stop()
  for (const { remove } of [folder, data]) remove()
})

/** The JSON that a command prints. */
async function gatehouse<T>(...args: string[]): Promise<T> {
  const env = { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_TOKEN: coordinator.token }
  const command = startProcess('gatehouse/main.ts', ['search', ...args, '--json'], env)
  expect(await command.ended, command.output()).toBe(0)
  return JSON.parse(command.result()) as T
}

/** An agent that does what agents do, and turns the weights of its tasks into their opposites. */
async function spoil(token: string, dataset: { fingerprint: string | null | undefined }, tasks: number): Promise<void> {
  const space = createSpace(TINY_SPACE)
  const client = createCoordinatorClient({ coordinator: coordinator.url, token, signal: new AbortController().signal })
  const registration = makeRegistration(space, { name: 'hostile' })
  const { agentId, config } = await client.register({
    ...registration,
    dataset: { ...registration.dataset, ...(dataset.fingerprint && { fingerprint: dataset.fingerprint }) },
  })
  const { shardOf, count } = planShards(space, config.weights.shardBytes)
  const shapes = new Map(space.weightSpecs.map(({ key, shape }) => [key, shape]))
  const keysOf = createWeightUse(space)
  for (let spoilt = 0; spoilt < tasks;) {
    const answer = await client.lease(agentId)
    if (answer.kind === 'finished') throw new Error('the search ended before it was spoilt')
    if (answer.kind === 'wait') {
      await sleep(answer.retryAfterMs)
      continue
    }
    const { taskId, leaseId, work, pushRight } = answer.task
    const ref = { agentId, taskId, leaseId }
    if (work.kind !== 'trainWeights') {
      await client.release(ref)
      await sleep(RELEASED_MS)
      continue
    }
    const { paths, round } = work
    const keys = [...keysOf(usedOptions(space.decisions.length, paths))]
    for (let shard = 0; shard < count; shard++) {
      const held = keys.filter((key) => shardOf.get(key) === shard).map((key) => [key, -1] as const)
      if (held.length === 0) continue
      const pulled = [...(await client.pull(shard, Object.fromEntries(held)))]
      const differences = new Map<string, Tensor>(
        pulled.map(([key, { values }]) => [key, { shape: [...(shapes.get(key) ?? [])], values: values.map((value) => -2 * value) }]),
      )
      const versions = Object.fromEntries(pulled.map(([key, { version }]) => [key, version]))
      const task = { agentId, taskId, members: round?.members ?? 1, pushRight }
      expect((await client.push(shard, task, differences, versions, 'fp32')).kind).toBe('applied')
    }
    const images = paths.length * config.training.batchSize
    const result = { kind: 'trainWeights', loss: 0.4, correct: images, images } as const
    await client.submit({ ...ref, result, timing: { trainMs: 1000, idleMs: 1 } })
    spoilt += 1
  }
}

it('goes on from the snapshot to its end, with the agents that it had', async () => {
  const { client } = coordinator
  const { searchId, agentToken } = await client.createSearch(
    tinySearch({
      training: { steps: STEPS, batchSize: 16, augmentation: NO_AUGMENTATION },
      weights: { shardBytes: 8192 },
      snapshots: { everySteps: SNAPSHOT_STEPS, keep: 10 },
    }),
  )
  agents = ['one', 'two'].map((name) => startAgent(coordinator, agentToken, data.path, ['--name', name]))
  await waitFor(async () => (await client.snapshots(searchId)).snapshots.length > 0, 'a snapshot')
  const before = await client.searchStatus(searchId)
  const { agentToken: hostileToken, tokenId } = await client.createToken(searchId, 'hostile')
  await spoil(hostileToken, { fingerprint: before.datasetFingerprint }, HOSTILE_TASKS)
  await client.changePhase(searchId, 'pause')

  const { snapshots } = await gatehouse<SnapshotList>('snapshots', searchId)
  const [snapshot] = snapshots
  const told = await gatehouse<RolledBack>('rollback', searchId, '--to', String(snapshot?.number))
  expect(told).toMatchObject({ snapshot: snapshot?.number, isComplete: true, number: 1 })
  expect(told.results).toBeGreaterThan(HOSTILE_TASKS)
  const after = await client.searchStatus(searchId)
  expect(after).toMatchObject({ phase: 'paused', steps: { done: snapshot?.steps } })
  await client.revokeToken(searchId, tokenId)
  await client.changePhase(searchId, 'resume')

  const end = await waitForPhase(client, searchId, 'finished')
  for (const agent of agents) expect(await agent.ended, agent.output()).toBe(0)
  for (const agent of agents) expect(agent.output()).toContain('taken back to a snapshot')
  expect(end.steps).toMatchObject({ done: STEPS, total: STEPS })
  expect(end.tasks).toMatchObject({ leased: 0, queued: 0, rolledBack: told.results })
  // As good as a search of so many steps that nobody has spoilt.
  expect(end.training.accuracy).toBeGreaterThan(0.8)
  const log = await readLog(coordinator, searchId)
  const counted = log.filter(({ rolledBack }) => rolledBack === undefined)
  expect(log.length - counted.length).toBe(told.results)
  expect(counted.filter((entry) => entry.tokenId === tokenId)).toEqual([])
  expect(log.filter((entry) => entry.tokenId === tokenId).length).toBeGreaterThanOrEqual(HOSTILE_TASKS)
  // Every step that counts, once.
  const steps = counted.flatMap(({ work }) => (work.kind === 'trainWeights' ? work.paths.map((_, i) => work.firstStep + i) : []))
  expect(steps.toSorted((a, b) => a - b)).toEqual(steps.map((_, i) => i))
})
