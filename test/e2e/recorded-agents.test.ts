// Agents that look trainings up in a record, as processes at a real coordinator: some of them are killed while they have a task.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type LogEntry, type SearchConfigInput, searchConfigSchema } from '../../protocol/index.ts'
import { createSpace, type SpaceRef } from '../../search-space/index.ts'
import { macsTable } from '../../simulation/macs-table.ts'
import { readRecordedTable } from '../../simulation/recorded-table.ts'
import { simulateSearch } from '../../simulation/simulate-search.ts'
import { type Coordinator, freePort, killGroup, readLog, startCoordinator, startProcess, temporaryFolder, waitFor } from './harness.ts'

const SPACE = { preset: 'cell-mini', operations: ['none', 'skip_connect', 'nor_conv_3x3'] } satisfies SpaceRef
const AGENTS = 8
/** Three of eight, at least 30 %. */
const KILLED = 3
const TRIALS = 60
/** Far longer than any test: an agent that waits for its recorded time is in the middle of its task. */
const SECONDS = 1e7

const folder = temporaryFolder()
const file = join(folder.path, 'trainings.csv')
const space = createSpace(SPACE)
let coordinator: Coordinator

/** All architectures, with accuracies that are all different. */
function recordedTable(): string {
  const counts = space.decisions.map(({ options }) => options.length)
  const total = counts.reduce((product, count) => product * count, 1)
  const rows = Array.from({ length: total }, (_, index) => {
    let left = index
    const digits = counts.map((count) => {
      const digit = left % count
      left = Math.floor(left / count)
      return digit
    })
    return `${digits.join('')},${(20 + (60 * ((index * 367) % total)) / total).toFixed(4)},${SECONDS}`
  })
  return ['ops,accuracy,seconds', ...rows].join('\n')
}

beforeAll(async () => {
  writeFileSync(file, recordedTable())
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
  await coordinator.client.publishTable(macsTable(space))
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

const startRecorded = (token: string, ...more: string[]) =>
  startProcess('worker-agent/cli/main.ts', ['--recorded', file, '--json', '--quiet', ...more], {
    GATEHOUSE_COORDINATOR: coordinator.url,
    GATEHOUSE_AGENT_TOKEN: token,
  })

function makeSearch(changes: Partial<SearchConfigInput>): SearchConfigInput {
  return {
    space: SPACE,
    dataset: { name: 'recorded' },
    latency: { targetMs: 1e6, table: { name: 'bench' }, loss: { kind: 'none' } },
    seed: 3,
    tasks: { leaseMs: 2000 },
    ...changes,
  }
}

it('loses no evaluation and counts none twice with agents that die in the middle of one, and finds what it finds without', async () => {
  const config = makeSearch({ strategy: { name: 'random', trials: TRIALS } })
  const { searchId, agentToken } = await coordinator.client.createSearch(config)
  const status = () => coordinator.client.searchStatus(searchId)
  const mortal = Array.from({ length: KILLED }, (_, i) => startRecorded(agentToken, '--name', `mortal ${i}`, '--speed', '1'))
  await waitFor(async () => {
    const ended = mortal.find(({ child }) => child.exitCode !== null)
    if (ended) throw new Error(`an agent ended by itself: ${ended.output()}`)
    return (await status()).tasks.leased === KILLED
  }, 'a task for each of those that die')
  const others = Array.from({ length: AGENTS - KILLED }, (_, i) => startRecorded(agentToken, '--name', `other ${i}`))
  await waitFor(async () => (await status()).tasks.done >= TRIALS / 4, 'a quarter of the trainings')
  for (const agent of mortal) killGroup(agent)
  expect(await Promise.all(others.map(({ ended }) => ended))).toEqual(others.map(() => 0))

  const end = await status()
  expect(end).toMatchObject({ phase: 'finished', tasks: { created: TRIALS, done: TRIALS, failed: 0, stale: 0 } })
  expect(end.agents).toHaveLength(AGENTS)
  expect(end.tasks.expiredLeases).toBeGreaterThanOrEqual(KILLED)
  const log = await readLog(coordinator, searchId)
  expect(log.map(({ taskId }) => taskId).toSorted((a, b) => a - b)).toEqual(Array.from({ length: TRIALS }, (_, i) => i + 1))

  // What the same search finds without processes, agents or deaths.
  const benchmark = readRecordedTable(recordedTable(), { space: SPACE, metric: 'accuracy', name: 'trainings' })
  const { search } = simulateSearch({ benchmark, config: searchConfigSchema.parse(config) })
  const scored = (entries: readonly LogEntry[]) =>
    entries
      .flatMap((entry) => (entry.outcome === 'applied' && entry.result.kind === 'trainArchitecture' ? [entry] : []))
      .map(({ taskId, work, result }) => ({ taskId, work, result }))
      .toSorted((a, b) => a.taskId - b.taskId)
  expect(scored(log)).toEqual(scored(search.store.readLog(0, TRIALS)))
})

it('answers the steps of a supernet too, whose weights it does not have', async () => {
  const steps = 40
  const { searchId, agentToken } = await coordinator.client.createSearch(
    makeSearch({
      strategy: { name: 'parsec', samples: 16, temper: 256, learningRate: 0.2, warmupSteps: 0, archEvery: 1, evaluateEvery: steps },
      training: { steps },
    }),
  )
  const agent = startRecorded(agentToken)
  expect(await agent.ended, agent.output()).toBe(0)
  const { phase, current } = await coordinator.client.searchStatus(searchId)
  expect(phase).toBe('finished')
  const benchmark = readRecordedTable(recordedTable(), { space: SPACE, metric: 'accuracy', name: 'trainings' })
  const found = benchmark.read(current.path)
  if (found === 'not-recorded') throw new Error(`${current.encoding} is not in the record`)
  // The mean of all is 50 %.
  expect(found.accuracies[0]).toBeGreaterThan(0.6)
})

it('refuses a search over another space, and a file that is no record', async () => {
  const { agentToken } = await coordinator.client.createSearch(makeSearch({ strategy: { name: 'random', trials: 1 } }))
  const other = startRecorded(agentToken, '--space', JSON.stringify({ ...SPACE, operations: ['none', 'nor_conv_1x1', 'nor_conv_3x3'] }))
  expect(await other.ended).not.toBe(0)
  expect(other.output()).toContain('and the search is over cell-mini-custom, whose decisions or options are others')
  const noTable = startRecorded(agentToken, '--metric', 'c100')
  expect(await noTable.ended).toBe(2)
  expect(noTable.output()).toContain('expected a column called c100_valid or c100, got ops, accuracy, seconds')
})
