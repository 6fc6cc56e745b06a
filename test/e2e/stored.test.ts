// Real agents of today go on with what earlier versions stored: a state folder of then, a coordinator and data of now.
// test/workerd/stored.test.ts has what needs no agent.

import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { moveToNow } from '../fixtures/stored/move-to-now.ts'
import { storedStateSchema } from '../fixtures/stored/stored-state.ts'
import { writeStateFolder } from '../fixtures/stored/write-folder.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  type Process,
  readLog,
  startAgent,
  startCoordinator,
  temporaryFolder,
  waitForPhase,
  writeTinyDataset,
} from './harness.ts'

const read = (version: string) =>
  storedStateSchema.parse(JSON.parse(readFileSync(new URL(`../fixtures/stored/${version}.json`, import.meta.url), 'utf8')))

let folder: ReturnType<typeof temporaryFolder>
let data: ReturnType<typeof temporaryFolder>
let processes: Process[] = []

beforeEach(() => {
  folder = temporaryFolder()
  data = temporaryFolder()
  processes = []
})
afterEach(() => {
  for (const process of processes) killGroup(process)
  folder.remove()
  data.remove()
})

function started<T extends Process>(process: T): T {
  processes.push(process)
  return process
}

describe.each(['0.1.0'].map(read))('in a state folder of version $version', (stored) => {
  const { running, paused } = stored.keys.searches
  const { training, dataset } = stored.keys

  async function open(): Promise<Coordinator> {
    writeTinyDataset(data.path, dataset.seed)
    writeStateFolder(folder.path, moveToNow(stored, Date.now()))
    const coordinator = await startCoordinator(folder.path, await freePort())
    started(coordinator.process)
    expect(coordinator.token).toBe(stored.keys.adminToken)
    return coordinator
  }

  it('agents finish the searches that were begun', async () => {
    const coordinator = await open()
    const { client } = coordinator
    expect(await client.changePhase(paused.searchId, 'resume')).toBe('warmup')
    for (const { searchId, agentToken } of [running, paused]) {
      const before = await readLog(coordinator, searchId)
      const agent = started(startAgent(coordinator, agentToken, data.path))
      const status = await waitForPhase(client, searchId, 'finished')
      expect(await agent.ended, agent.output()).toBe(0)
      const log = await readLog(coordinator, searchId)
      expect(log.slice(0, before.length)).toEqual(before)
      expect(log.map(({ seq }) => seq)).toEqual(Array.from({ length: status.tasks.created }, (_, i) => i + 1))
      // One agent then, one now: every mini-batch was trained once.
      const steps = log.flatMap(({ work }) => (work.kind === 'trainWeights' ? work.paths.map((_, i) => work.firstStep + i) : []))
      expect(steps.toSorted((a, b) => a - b)).toEqual(Array.from({ length: status.steps.total }, (_, i) => i))
      await client.deleteSearch(searchId)
    }
    expect(await client.listSearches()).toEqual({ members: [], unreadable: [] })
    await coordinator.stop()
  })

  it('an agent finishes the training from its checkpoint', async () => {
    const coordinator = await open()
    const before = await coordinator.client.trainingStatus(training.trainingId)
    const agent = started(startAgent(coordinator, training.agentToken, data.path))
    expect(await agent.ended, agent.output()).toBe(0)
    const status = await coordinator.client.trainingStatus(training.trainingId)
    expect(status).toMatchObject({ phase: 'finished', result: { end: 'finished' } })
    expect(status.reports.slice(0, before.reports.length)).toEqual(before.reports)
    expect(status.reports.map(({ epoch }) => epoch)).toEqual(status.reports.map((_, i) => i + 1))
    expect(status.reports.length).toBe(status.spec.recipe.epochs)
    expect(status.trainers.at(-1)).toMatchObject({ fromStep: before.checkpoint?.step, end: 'finished' })
    expect((await coordinator.client.trainingModel(training.trainingId)).byteLength).toBe(status.modelBytes)
    await coordinator.stop()
  })
})
