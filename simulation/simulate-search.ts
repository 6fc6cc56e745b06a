// A whole search through the coordinator's own rules, on a clock that only moves when something happens, with agents that look
// results up in a recorded benchmark instead of training. One agent is the plain loop; the same seed gives the same log.

import { PROTOCOL, type SearchConfig, taskKinds, type TaskWork, WAIT_MS } from '../protocol/index.ts'
import { createMemoryStore } from '../rules/search/memory-store.ts'
import {
  createSetup,
  leaseTask,
  type OpenSearch,
  openSearch,
  registerAgent,
  type SearchSetup,
  startSearch,
  submitResult,
} from '../rules/search/index.ts'
import { createRandom, createSpace, type Path, seedState, type Space } from '../search-space/index.ts'
import type { BoundContext, Strategy } from '../strategies/index.ts'
import { createEvents } from './events.ts'
import { macsTable } from './macs-table.ts'
import { answerFromRecord } from './recorded-answers.ts'
import type { RecordedBenchmark } from './recorded-benchmark.ts'

const START_MS = 1_800_000_000_000
const SEARCH_ID = 's000000000000'
const TABLE_VERSION = '0'.repeat(64)
const FINGERPRINT = '0'.repeat(64)
/** What a task takes on the clock whose time nobody recorded, milliseconds; nothing but the order of events depends on it. */
const TASK_MS = {
  trainWeights: 20,
  trainMixtures: 60,
  gateGradients: 50,
  mixtureGradients: 100,
  evaluatePaths: 100,
  batchNormScales: 10,
  score: 10,
  trainArchitecture: 1000,
} as const satisfies Record<TaskWork['kind'], number>

/** Simulated agents never die, and a recorded training may take longer than any lease: no task comes back. */
const LEASE_MS = 1e15

function setupOf(config: SearchConfig, space: Space): SearchSetup {
  const { tasks } = config
  const patient = { ...config, tasks: { ...tasks, leaseMs: LEASE_MS } }
  return createSetup(SEARCH_ID, patient, { ...macsTable(space), version: TABLE_VERSION }, START_MS)
}

/** An architecture evaluated or trained for the strategy; `epochs` null: as far as the record goes. */
type Evaluation = { readonly path: Path; readonly epochs: number | null; readonly atMs: number }

type SimulatedSearch = {
  readonly search: OpenSearch
  /** In the order in which their results came back. */
  readonly evaluations: readonly Evaluation[]
  /** The most probable architecture now. */
  derive(): number[]
}

type SimulationOptions = {
  readonly benchmark: RecordedBenchmark
  readonly config: SearchConfig
  readonly agents?: number
  /** Where it is not the one that the settings name. */
  readonly strategy?: Strategy<unknown>
  /** Evaluations after which the search is left; default: it goes on to its end. */
  readonly budget?: number
  /** Called after each architecture step, with everything that was evaluated so far. */
  readonly onStep?: (evaluations: readonly Evaluation[], derive: () => number[]) => void
}

/** What the bounds of a search are bounds on. */
function boundContext({ space: ref, costs }: RecordedBenchmark, config: SearchConfig): BoundContext {
  const space = createSpace(ref)
  const { latency } = setupOf(config, space)
  return { space, latency, config, ...(costs && { recordedCosts: costs }) }
}

/** Runs a search to its end. Throws UnansweredError, and ProblemError where the configuration does not fit. */
function simulateSearch(options: SimulationOptions): SimulatedSearch {
  const { benchmark, config, agents = 1, budget = Number.POSITIVE_INFINITY, strategy, onStep } = options
  const space = createSpace(benchmark.space)
  const events = createEvents(START_MS)
  const store = createMemoryStore({ copies: false })
  startSearch(() => store, setupOf(config, space), strategy, benchmark.costs)
  const search = openSearch(store, strategy, benchmark.costs) as OpenSearch
  const random = createRandom(seedState('recorded', config.seed))
  const evaluations: Evaluation[] = []
  /** Seconds that have gone into each trial so far: whoever goes on with one does so from its checkpoint. */
  const spent = new Map<number, number>()
  const derive = () => search.strategy.derive(store.readState().strategy, search.context)
  let leases = 0
  /** Agents that have nothing to do until a result comes in: asking again and again before that would change nothing. */
  let idle: string[] = []

  const work = (agentId: string) => {
    leases += 1
    const leased = leaseTask(search, agentId, `l${String(leases).padStart(12, '0')}`, events.nowMs())
    if (leased.kind === 'finished') return
    if (leased.kind === 'wait') {
      if (leased.reason === 'all-handed-out') idle.push(agentId)
      else events.after(leased.retryAfterMs, () => work(agentId))
      return
    }
    const { taskId, leaseId, work: given } = leased.task
    const trial = given.kind === 'trainArchitecture' ? given.trial : undefined
    const before = trial === undefined ? 0 : (spent.get(trial) ?? 0)
    const { result, seconds, epochs } = answerFromRecord(benchmark, given, config.training.batchSize, random, before)
    if (trial !== undefined && seconds !== null) spent.set(trial, before + seconds)
    const trainMs = seconds === null ? TASK_MS[given.kind] : seconds * 1000
    events.after(trainMs, () => {
      submitResult(search, { agentId, taskId, leaseId, result, timing: { trainMs, idleMs: 0 } }, events.nowMs())
      if (given.kind === 'trainArchitecture') {
        evaluations.push({ path: given.path, epochs, atMs: events.nowMs() - START_MS })
        onStep?.(evaluations, derive)
      }
      if (given.kind === 'evaluatePaths' && given.batches) {
        for (const path of given.paths) evaluations.push({ path, epochs, atMs: events.nowMs() - START_MS })
        onStep?.(evaluations, derive)
      }
      work(agentId)
      const woken = idle
      idle = []
      for (const other of woken) events.after(WAIT_MS, () => work(other))
    })
  }
  for (let i = 0; i < agents; i++) {
    const dataset = {
      name: 'recorded',
      fingerprint: FINGERPRINT,
      shape: [...space.input] as [number, number, number],
      classes: space.classes,
    }
    const request = {
      name: `simulated ${i + 1}`,
      device: 'record',
      backend: 'record',
      lanes: 1,
      protocol: PROTOCOL,
      kinds: taskKinds,
      dataset: { ...dataset, trainImages: 1 },
    }
    const { agentId } = registerAgent(search, request, `a${String(i + 1).padStart(12, '0')}`, START_MS)
    events.after(0, () => work(agentId))
  }
  while (evaluations.length < budget && events.step());
  return { search, evaluations, derive }
}

export { boundContext, type Evaluation, simulateSearch, type SimulationOptions }
