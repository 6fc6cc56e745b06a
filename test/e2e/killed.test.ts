import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LogEntry, SearchConfigInput, SearchStatus } from '../../protocol/index.ts'
import { SLICED_SPACE } from '../fixtures/sliced-space.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  readLog,
  startAgent,
  startCoordinator,
  temporaryFolder,
  tinySearch,
  tinyTable,
  waitFor,
  waitForPhase,
  writeTinyDataset,
} from './harness.ts'

let state: ReturnType<typeof temporaryFolder>
let data: ReturnType<typeof temporaryFolder>
let processes: Process[] = []

beforeEach(() => {
  state = temporaryFolder()
  data = temporaryFolder()
  writeTinyDataset(data.path)
  processes = []
})
afterEach(() => {
  for (const process of processes) killGroup(process)
  state.remove()
  data.remove()
})

function started<T extends Process>(process: T): T {
  processes.push(process)
  return process
}

/** Operations with weights of their own, and options that share weights by parts. */
const searches = {
  'the tiny space': { steps: 2000 },
  'a space of shared weights': { steps: 1000, space: SLICED_SPACE, strategy: { name: 'fp-nas', evaluateEvery: 200, images: 64 } },
} as const satisfies Record<string, Partial<SearchConfigInput> & { steps: number }>

async function startSearch(
  port: number,
  { steps, ...changes }: (typeof searches)[keyof typeof searches] = searches['the tiny space'],
): Promise<{ coordinator: Coordinator; searchId: string; agentToken: string }> {
  const coordinator = await startCoordinator(state.path, port)
  started(coordinator.process)
  const settings = tinySearch({ ...changes, training: { steps, batchSize: 16, augmentation: NO_AUGMENTATION } })
  await coordinator.client.publishTable(tinyTable('space' in changes ? changes.space : undefined))
  const { searchId, agentToken } = await coordinator.client.createSearch(settings)
  return { coordinator, searchId, agentToken }
}

/** Every task that was created has exactly one result, and the steps add up. */
function expectExactlyOnce(status: SearchStatus, log: readonly LogEntry[], all: number): void {
  expect(status.phase).toBe('finished')
  expect(status.tasks.done + status.tasks.stale).toBe(status.tasks.created)
  expect(status.tasks.leased + status.tasks.queued).toBe(0)
  expect(log.map((entry) => entry.seq)).toEqual(Array.from({ length: status.tasks.created }, (_, i) => i + 1))
  expect(new Set(log.map((entry) => entry.taskId)).size).toBe(status.tasks.created)
  const steps = log.flatMap(({ work }) => (work.kind === 'trainWeights' ? work.paths.map((_, i) => work.firstStep + i) : []))
  // Every mini-batch once; where two shared a round, it takes more of them to the same effective steps.
  expect(steps.toSorted((a, b) => a - b)).toEqual(steps.map((_, i) => i))
  const counted = log.map(({ work }) => (work.kind === 'trainWeights' ? (work.schedule?.counts ?? work.paths.length) : 0))
  expect(counted.reduce((sum, count) => sum + count, 0)).toBeCloseTo(all, 6)
  expect(status.weightSteps).toEqual({ done: all, total: all })
}

describe('when processes die at the worst moment', () => {
  it.each(Object.keys(searches) as (keyof typeof searches)[])(
    'an agent killed in the middle of a task loses nothing: another one does the task, on %s',
    async (name) => {
      const settings = searches[name]
      const { coordinator, searchId, agentToken } = await startSearch(await freePort(), settings)
      const victim = started(startAgent(coordinator, agentToken, data.path, ['--name', 'victim']))
      const readTasks = async () => (await coordinator.client.searchStatus(searchId)).tasks
      await waitFor(async () => (await readTasks()).done >= 2, 'the agent to work')
      // Held still, it has a lease or it has none.
      await waitFor(async () => {
        victim.child.kill('SIGSTOP')
        if ((await readTasks()).leased > 0) return true
        victim.child.kill('SIGCONT')
        return false
      }, 'the agent to have a lease')
      const survivor = started(startAgent(coordinator, agentToken, data.path, ['--name', 'survivor']))
      killGroup(victim)
      const status = await waitForPhase(coordinator.client, searchId, 'finished')
      expect(await survivor.ended).toBe(0)
      expectExactlyOnce(status, await readLog(coordinator, searchId), settings.steps)
      expect(status.tasks.expiredLeases).toBeGreaterThanOrEqual(1)
      expect(status.agents.reduce((sum, agent) => sum + agent.tasksDone, 0)).toBe(status.tasks.created)
      await coordinator.stop()
    },
  )

  it('a coordinator killed and restarted has everything that it acknowledged, and the agents go on', async () => {
    const port = await freePort()
    const first = await startSearch(port)
    const agents = ['a', 'b'].map((name) => started(startAgent(first.coordinator, first.agentToken, data.path, ['--name', name])))
    await waitFor(async () => (await first.coordinator.client.searchStatus(first.searchId)).tasks.done >= 20, 'twenty tasks')
    const before = await readLog(first.coordinator, first.searchId)
    killGroup(first.coordinator.process)
    await first.coordinator.process.ended
    await sleep(1500)

    const second = await startCoordinator(state.path, port)
    started(second.process)
    const recovered = await readLog(second, first.searchId)
    expect(recovered.slice(0, before.length)).toEqual(before)
    const status = await waitForPhase(second.client, first.searchId, 'finished')
    for (const agent of agents) expect(await agent.ended).toBe(0)
    expectExactlyOnce(status, await readLog(second, first.searchId), searches['the tiny space'].steps)
    expect(status.agents).toHaveLength(2)
    expect(status.agents.every((agent) => agent.tasksDone > 0)).toBe(true)
    await second.stop()
  })
})
