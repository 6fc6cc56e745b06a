// A search that trains architectures one by one, by an agent that dies and by two that take over: every trial counts once.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { knownView } from '../../protocol/index.ts'
import { parseArchitecture, createSpace } from '../../search-space/index.ts'
import {
  type Coordinator,
  freePort,
  killGroup,
  type Process,
  readLog,
  startAgent,
  startCoordinator,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  tinyTable,
  waitFor,
  writeTinyDataset,
} from './harness.ts'

const TRIALS = 12
const LEASE_MS = 2000

const folder = temporaryFolder()
let coordinator: Coordinator

beforeAll(async () => {
  writeTinyDataset(folder.path)
  coordinator = await startCoordinator(join(folder.path, 'state'), await freePort())
  await coordinator.client.publishTable(tinyTable())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

/** Kills `agent` while it has a task: it is held still while `hasTask` is asked, so that nothing changes between. */
async function killInTheMiddle(agent: Process, hasTask: () => Promise<boolean>): Promise<void> {
  await waitFor(async () => {
    agent.child.kill('SIGSTOP')
    if (await hasTask()) return true
    agent.child.kill('SIGCONT')
    return false
  }, 'a trial to be under way')
  killGroup(agent)
  await agent.ended
}

describe.each([{ name: 'aging-evolution', population: 4, sample: 3 } as const, { name: 'local-search', starts: 4 } as const])(
  '$name',
  (strategy) => {
    it('trains within the bound, loses nothing with an agent that dies, and ends with the best of what it trained', async () => {
      // Trials of about half a second: one is under way nearly always.
      const recipe = { steps: 250, batchSize: 32, augmentation: { flip: false, shift: 0 } }
      const search = tinySearch({
        latency: { targetMs: 40, table: { name: 'tiny' } },
        strategy: { ...strategy, trials: TRIALS, recipe },
        tasks: { leaseMs: LEASE_MS },
      })
      const { searchId, agentToken } = await coordinator.client.createSearch(search)
      const mortal = startAgent(coordinator, agentToken, folder.path, ['--name', 'mortal'])
      const status = () => coordinator.client.searchStatus(searchId)
      await waitFor(async () => (await status()).tasks.done >= 3, 'three trials')
      await killInTheMiddle(mortal, async () => (await status()).tasks.leased === 1)
      const other = startAgent(coordinator, agentToken, folder.path, ['--name', 'other'])
      const heir = startAgent(coordinator, agentToken, folder.path, ['--name', 'heir'])
      expect(await Promise.all([other.ended, heir.ended])).toEqual([0, 0])

      const end = await status()
      expect(end).toMatchObject({
        phase: 'finished',
        steps: { done: TRIALS, total: TRIALS },
        tasks: { created: TRIALS, done: TRIALS, failed: 0 },
      })
      expect(end.tasks.expiredLeases).toBeGreaterThanOrEqual(1)
      const log = await readLog(coordinator, searchId)
      const trained = log.map(({ work }) => (work.kind === 'trainArchitecture' ? work.path.join() : work.kind))
      expect(new Set(trained).size).toBe(TRIALS)
      const view = knownView(end.view)
      if (view?.kind !== 'ranking') throw new Error(`expected a ranking, got ${end.view.kind}`)
      expect(view.scored).toBe(TRIALS)
      const scores = log.flatMap((entry) => {
        const validation = entry.outcome === 'applied' && entry.result.kind === 'trainArchitecture' ? entry.result.validation : null
        return validation ? [validation.correct / validation.images] : []
      })
      expect(view.candidates[0]?.score).toBe(Math.max(...scores))
      for (const candidate of view.candidates) expect(candidate).toMatchObject({ meetsConstraint: true })
      expect(end.constraint).toMatchObject({ bound: 40, isMet: true })
      expect(parseArchitecture(createSpace(TINY_SPACE), end.current.encoding)).toEqual(end.current.path)
      expect(end.current.path).toEqual(view.candidates[0]?.path)
      // A guess is right a quarter of the time.
      expect(view.candidates[0]?.score).toBeGreaterThan(0.6)
    })
  },
)

describe('scores without training', () => {
  it('are computed by agents first, and say what is trained', async () => {
    const scores = { names: ['synflow' as const, 'naswot' as const], warmup: 8, perTask: 3, moves: 1 }
    const recipe = { steps: 20, batchSize: 32, augmentation: { flip: false, shift: 0 } }
    const search = tinySearch({
      latency: { targetMs: 40, table: { name: 'tiny' } },
      strategy: { name: 'aging-evolution', trials: 6, population: 2, sample: 2, recipe, scores },
      tasks: { leaseMs: LEASE_MS },
    })
    const { searchId, agentToken } = await coordinator.client.createSearch(search)
    const agents = ['one', 'two'].map((name) => startAgent(coordinator, agentToken, folder.path, ['--name', name]))
    expect(await Promise.all(agents.map(({ ended }) => ended))).toEqual([0, 0])

    const end = await coordinator.client.searchStatus(searchId)
    expect(end).toMatchObject({ phase: 'finished', steps: { done: 6, total: 6, unit: 'trainings' }, tasks: { failed: 0 } })
    const log = await readLog(coordinator, searchId)
    const warm = log.flatMap((entry) => {
      if (entry.outcome !== 'applied' || entry.work.kind !== 'score' || entry.result.kind !== 'score') return []
      const { paths } = entry.result
      return entry.work.paths.map((path, i) => ({ path: path.join(), scored: paths[i] }))
    })
    expect(warm.length).toBeGreaterThanOrEqual(8)
    expect(new Set(warm.slice(0, 8).map(({ path }) => path)).size).toBe(8)
    for (const { scored } of warm) expect(scored).toMatchObject({ seconds: [expect.any(Number), expect.any(Number)] })
    const trained = log.flatMap(({ work }) => (work.kind === 'trainArchitecture' ? [work.path.join()] : []))
    const firstEight = new Set(warm.slice(0, 8).map(({ path }) => path))
    for (const path of trained.slice(0, 2)) expect(firstEight).toContain(path)
    // Moves have their neighbours scored.
    expect(log.filter(({ work }) => work.kind === 'score').length).toBeGreaterThan(3)
    const metrics = await coordinator.client.metrics(searchId)
    expect(metrics.map(({ kind }) => kind)).toEqual(Array.from({ length: 6 }, () => 'trainArchitecture'))
  })
})

describe('a trial', () => {
  const STEPS = 1000
  const recipe = { steps: STEPS, batchSize: 32, augmentation: { flip: false, shift: 1 }, evaluateEvery: 0, statisticsBatches: 4 }
  const oneTrial = tinySearch({
    latency: { targetMs: 40, table: { name: 'tiny' } },
    strategy: { name: 'random', trials: 1, recipe },
    tasks: { leaseMs: LEASE_MS, checkpointMs: 200 },
  })

  /** What was found of the one architecture, without the seconds that it took. */
  async function resultOf(searchId: string) {
    const [entry] = await readLog(coordinator, searchId)
    if (entry?.outcome !== 'applied' || entry.result.kind !== 'trainArchitecture') throw new Error('expected the result of a trial')
    const { seconds: _, ...numbers } = entry.result
    return { numbers, architecture: entry.work }
  }

  it('whose agent is killed is gone on with from its checkpoint by the next one, to the numbers of an undisturbed one', async () => {
    const undisturbed = await coordinator.client.createSearch(oneTrial)
    expect(await startAgent(coordinator, undisturbed.agentToken, folder.path).ended).toBe(0)
    const { searchId, agentToken } = await coordinator.client.createSearch(oneTrial)
    const mortal = startAgent(coordinator, agentToken, folder.path, ['--name', 'mortal'])
    const hasCheckpoint = async () => {
      const url = `${coordinator.url}/v1/searches/${searchId}/tasks/1/checkpoint`
      return (await fetch(url, { headers: { Authorization: `Bearer ${agentToken}`, Range: 'bytes=0-' } })).status === 206
    }
    await killInTheMiddle(mortal, hasCheckpoint)
    const heir = startAgent(coordinator, agentToken, folder.path, ['--name', 'heir'])
    expect(await heir.ended).toBe(0)
    const from = Number(/goes on from step (\d+)/.exec(heir.output())?.[1])
    expect(from).toBeGreaterThan(0)
    expect(from).toBeLessThan(STEPS)
    expect(await resultOf(searchId)).toEqual(await resultOf(undisturbed.searchId))
    // Nobody goes on from it any more.
    expect(await hasCheckpoint()).toBe(false)
  })
})

describe('successive-halving', () => {
  it('trains its best further from where they were left, and ends with one that is trained in full', async () => {
    const recipe = { epochs: 4, batchSize: 32, augmentation: { flip: false, shift: 0 } }
    const search = tinySearch({
      latency: { targetMs: 40, table: { name: 'tiny' } },
      strategy: { name: 'successive-halving', trials: 6, eta: 2, recipe, proposer: { name: 'aging-evolution', population: 3, sample: 2 } },
    })
    const { searchId, agentToken } = await coordinator.client.createSearch(search)
    const agents = [1, 2].map((number) => startAgent(coordinator, agentToken, folder.path, ['--name', `agent-${number}`]))
    expect(await Promise.all(agents.map(({ ended }) => ended))).toEqual([0, 0])
    const status = await coordinator.client.searchStatus(searchId)
    const view = knownView(status.view)
    if (view?.kind !== 'ranking') throw new Error(`expected a ranking, got ${status.view.kind}`)
    expect(status).toMatchObject({ phase: 'finished', progress: 1, tasks: { failed: 0 } })
    expect(view.rungs?.map(({ epochs }) => epochs)).toEqual([1, 2, 4])
    expect(view.rungs?.[0]).toMatchObject({ scored: 6, failed: 0 })
    for (const [rung, { promoted }] of (view.rungs ?? []).entries()) expect(promoted).toBe(view.rungs?.[rung + 1]?.scored ?? 0)
    expect(view.candidates[0]).not.toHaveProperty('epochs')
    const curves = new Map<number, number[][]>()
    for (const entry of await readLog(coordinator, searchId)) {
      if (entry.outcome !== 'applied' || entry.result.kind !== 'trainArchitecture' || entry.work.kind !== 'trainArchitecture') continue
      const { trial = -1 } = entry.work
      curves.set(trial, [...(curves.get(trial) ?? []), entry.result.curve.map(({ loss }) => loss)])
    }
    const gone = [...curves.values()].filter((rungs) => rungs.length > 1)
    expect(gone.length).toBeGreaterThanOrEqual(3)
    for (const [first, ...further] of gone) for (const curve of further) expect(curve.slice(0, first?.length)).toEqual(first)
    expect(agents.map((agent) => agent.output()).join('')).toMatch(/goes on from step \d+/)
  })
})

describe('eas', () => {
  it('trains what grows out of trained networks, by whichever agent, with the weights that these have', async () => {
    const recipe = { steps: 60, batchSize: 32, augmentation: { flip: false, shift: 0 } }
    const space = { ...TINY_SPACE, expansions: [2, 3] }
    const search = tinySearch({
      space,
      latency: { targetMs: 60, table: { name: 'growing' } },
      strategy: { name: 'eas', trials: 8, round: 3, recipe },
    })
    await coordinator.client.publishTable({ ...tinyTable(space), name: 'growing' })
    const { searchId, agentToken } = await coordinator.client.createSearch(search)
    const first = startAgent(coordinator, agentToken, folder.path, ['--name', 'first'])
    await waitFor(async () => (await coordinator.client.searchStatus(searchId)).tasks.done >= 1, 'the first trial')
    const second = startAgent(coordinator, agentToken, folder.path, ['--name', 'second'])
    first.child.kill('SIGTERM')
    await first.ended
    expect(await second.ended).toBe(0)

    const status = await coordinator.client.searchStatus(searchId)
    expect(status).toMatchObject({ phase: 'finished', steps: { done: 8, total: 8 }, tasks: { failed: 0 } })
    const trials = (await readLog(coordinator, searchId)).flatMap((entry) => {
      if (entry.outcome !== 'applied' || entry.work.kind !== 'trainArchitecture' || entry.result.kind !== 'trainArchitecture') return []
      const { trial = -1, start, path } = entry.work
      return [{ trial, start, path, agent: entry.agentId, curve: entry.result.curve }]
    })
    expect(trials.map(({ trial }) => trial).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    const grown = trials.flatMap((trial) => (typeof trial.start === 'string' ? [] : [{ ...trial, start: trial.start }]))
    expect(grown).toHaveLength(7)
    expect(new Set(grown.map(({ start }) => start.trial)).size).toBeGreaterThan(1)
    const agentOf = (number: number) => trials.find(({ trial }) => trial === number)?.agent
    expect(grown.some(({ agent, start }) => agent !== agentOf(start.trial))).toBe(true)
    for (const { start, path } of grown) {
      expect(trials.find(({ trial }) => trial === start.trial)?.path).toEqual(start.path)
      expect(path).not.toEqual(start.path)
    }
    // What begins where another one ended has less to learn.
    const root = trials.find(({ trial }) => trial === 0)?.curve[0]?.loss as number
    for (const { curve } of grown) expect(curve[0]?.loss).toBeLessThan(0.9 * root)
    expect(`${first.output()}${second.output()}`).not.toContain('random weights')
  })
})
