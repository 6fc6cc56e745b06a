// Every strategy that shares the weights of a supernet, with two agents: real training, to the end of the search.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { knownView, type SearchConfigInput, type StrategyName } from '../../protocol/index.ts'
import { createSpace, parseArchitecture } from '../../search-space/index.ts'
import {
  type Coordinator,
  freePort,
  readLog,
  startAgent,
  startCoordinator,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  tinyTable,
  writeTinyDataset,
} from './harness.ts'

/** Eight of the eighteen architectures are within it. */
const TARGET_MS = 8.4
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

type Strategy = NonNullable<SearchConfigInput['strategy']>
/** The others train each architecture by itself: trial-search.test.ts. */
type WithSupernet = Exclude<
  StrategyName,
  'random' | 'aging-evolution' | 'local-search' | 'reinforce' | 'predictor' | 'successive-halving' | 'eas'
>

const learning = { warmupSteps: 80, archEvery: 4, learningRate: 0.15, evaluateEvery: 400, evaluateImages: 64 }
const strategies: { readonly [Name in WithSupernet]: Strategy } = {
  'proxyless-g': { name: 'proxyless-g', ...learning, form: 'full' },
  'proxyless-r': { name: 'proxyless-r', ...learning, samples: 6, images: 64, reward: { kind: 'bound', exponent: 1 } },
  parsec: { name: 'parsec', ...learning, samples: 8, images: 64, weightSamples: 3 },
  'fp-nas': { name: 'fp-nas', ...learning, lambda: 2, images: 64 },
  darts: { name: 'darts', ...learning, order: 'second', warmupSteps: 40 },
  'one-shot': { name: 'one-shot', candidates: 8, images: 96, candidatesPerTask: 1 },
  spos: { name: 'spos', population: 4, generations: 2, parents: 2, images: 96, candidatesPerTask: 1, nearTarget: { share: 0.3 } },
}

describe.each(Object.entries(strategies))('%s', (_, strategy) => {
  it('finds, with two agents, an architecture within reach of its target that is better than a guess', async () => {
    const search = tinySearch({
      latency: { targetMs: TARGET_MS, table: { name: 'tiny' }, loss: { kind: 'add#abs', lambda: 1 } },
      strategy,
      tasks: { weightSteps: 20, architectureSteps: 4, leaseMs: 10_000 },
    })
    const { searchId, agentToken } = await coordinator.client.createSearch(search)
    const agents = [1, 2].map((number) => startAgent(coordinator, agentToken, folder.path, ['--name', `agent-${number}`]))
    expect(await Promise.all(agents.map(({ ended }) => ended))).toEqual([0, 0])

    const status = await coordinator.client.searchStatus(searchId)
    expect(status).toMatchObject({ phase: 'finished', tasks: { failed: 0, leased: 0, queued: 0 } })
    for (const agent of status.agents) expect(agent.tasksDone).toBeGreaterThan(0)
    const view = knownView(status.view)
    if (view?.kind === 'distribution') {
      // On a busy machine its two agents take turns, and what they push is older.
      expect(view.entropy.mean).toBeLessThan(0.95 * view.entropy.start)
      // Only what is beyond the target costs anything, but for proxyless-g.
      expect(view.expectedLatencyMs).toBeLessThan(1.25 * TARGET_MS)
      expect(status.validation.accuracy).toBeGreaterThan(0.4)
    } else {
      // A hard bound: nothing beyond it was ever evaluated.
      const evaluated = (await readLog(coordinator, searchId)).flatMap(({ work }) => (work.kind === 'evaluatePaths' ? work.paths : []))
      expect(new Set(evaluated.map((path) => path.join())).size).toBe(8)
      expect(view?.candidates).toHaveLength(8)
      expect(status.constraint).toMatchObject({ bound: TARGET_MS, isMet: true })
      for (const candidate of view?.candidates ?? []) expect(candidate.latencyMs).toBeLessThanOrEqual(TARGET_MS)
      expect(view?.candidates[0]?.score).toBeGreaterThan(0.4)
      expect(status.current.path).toEqual(view?.candidates[0]?.path)
    }
    expect(parseArchitecture(createSpace(TINY_SPACE), status.current.encoding)).toEqual(status.current.path)
  })
})

describe('spos in two stages, by annealing, on batch-norms alone, of two paths that learn from each other', () => {
  it('comes to its end with two agents, within the target, on the scales that they have read', async () => {
    const search = tinySearch({
      latency: { targetMs: TARGET_MS, table: { name: 'tiny' } },
      training: { steps: 80, batchSize: 32 },
      strategy: {
        name: 'spos',
        population: 3,
        generations: 4,
        parents: 2,
        candidatesPerTask: 1,
        search: 'annealing',
        annealing: { moves: 50 },
        stages: 2,
        consistency: {},
        trained: 'batch-norms',
        score: 'batch-norms',
      },
      tasks: { weightSteps: 10, leaseMs: 10_000 },
    })
    const { searchId, agentToken } = await coordinator.client.createSearch(search)
    const agents = [1, 2].map((number) => startAgent(coordinator, agentToken, folder.path, ['--name', `agent-${number}`]))
    expect(await Promise.all(agents.map(({ ended }) => ended))).toEqual([0, 0])
    const status = await coordinator.client.searchStatus(searchId)
    expect(status).toMatchObject({ phase: 'finished', tasks: { failed: 0 }, constraint: { isMet: true } })
    const log = await readLog(coordinator, searchId)
    for (const { work } of log)
      expect(work.kind === 'batchNormScales' || (work.kind === 'trainWeights' && work.trained && work.consistency)).toBeTruthy()
    const view = knownView(status.view)
    expect(view).toMatchObject({ kind: 'population', score: 'batch-norm scales' })
    expect(status.current.path).toEqual(view?.kind === 'population' ? view.candidates[0]?.path : null)
    expect(status.fronts ?? []).toEqual([])
  })
})
