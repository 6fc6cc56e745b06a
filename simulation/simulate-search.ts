// A whole search through the coordinator's own rules, on a clock that only moves when something happens, with agents that look
// results up in a recorded benchmark instead of training. One agent is the plain loop; the same seed gives the same log.

import {
  PROTOCOL,
  type SearchConfig,
  taskKinds,
  type TaskResult,
  type TaskWork,
  type TrialWork,
  WAIT_MS,
  weightStepsOf,
} from '../protocol/index.ts'
import { createMemoryStore } from '../rules/search/memory-store.ts'
import {
  createSetup,
  heartbeat,
  leaseTask,
  type OpenSearch,
  openSearch,
  registerAgent,
  startSearch,
  submitResult,
} from '../rules/search/index.ts'
import { createRandom, createSpace, type Path, type Random, seedState } from '../search-space/index.ts'
import type { Strategy } from '../strategies/index.ts'
import { createEvents } from './events.ts'
import { macsTable } from './macs-table.ts'
import { type RecordedBenchmark, recordedTraining } from './recorded-benchmark.ts'

const START_MS = 1_800_000_000_000
const TABLE_VERSION = '0'.repeat(64)
const FINGERPRINT = '0'.repeat(64)
const MS_PER_SECOND = 1000
/** What a task takes on the clock, milliseconds, where no record says; nothing but the order of events depends on it. */
const TASK_MS = {
  trainWeights: 20,
  trainMixtures: 60,
  gateGradients: 50,
  mixtureGradients: 100,
  evaluatePaths: 100,
  trainArchitecture: 1000,
} as const satisfies Record<TaskWork['kind'], number>

/** The benchmark has no training of an architecture that was asked for, or the strategy asks for what no record holds. */
class SimulationError extends Error {
  override readonly name = 'SimulationError'
  readonly code: 'not-recorded' | 'not-recordable'

  constructor(code: SimulationError['code'], message: string) {
    super(message)
    this.code = code
  }
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

type Answer = {
  readonly result: TaskResult
  /** What it takes on the clock. */
  readonly trainMs: number
  /** That the architecture of a trial has been trained for; null: as far as the record goes. */
  readonly epochs: number | null
}

function createAnswers({ benchmark, config }: SimulationOptions): (work: TaskWork) => Answer {
  const random: Random = createRandom(seedState('recorded', config.seed))
  const { images } = benchmark
  /** Seconds that have gone into each trial so far: whoever goes on with one does so from its checkpoint. */
  const spent = new Map<number, number>()
  const lookUp = (path: Path, asked?: number) => {
    const found = recordedTraining(benchmark, path, asked)
    if (found === 'not-recorded') {
      const after = asked === undefined ? '' : ` after ${asked} epochs`
      throw new SimulationError('not-recorded', `${benchmark.name} has no training of ${path.join(' ')}${after}`)
    }
    const accuracy = found.accuracies[random.integer(found.accuracies.length)] as number
    return { ...found, correct: Math.round(accuracy * images) }
  }
  const train = (work: TrialWork): Answer => {
    const { correct, seconds, epochs } = lookUp(work.path, work.epochs ?? work.recipe.epochs)
    if (work.epochs !== undefined && epochs !== work.epochs) {
      throw new SimulationError('not-recorded', `${benchmark.name} does not say what trainings come to after ${work.epochs} epochs`)
    }
    const before = work.trial === undefined ? 0 : (spent.get(work.trial) ?? 0)
    if (work.trial !== undefined && seconds !== null) spent.set(work.trial, seconds)
    const own = seconds === null ? TASK_MS.trainArchitecture / MS_PER_SECOND : Math.max(0, seconds - before)
    const validation = { crossEntropy: 1 - correct / images, correct, images }
    const result = {
      kind: 'trainArchitecture',
      end: 'finished',
      steps: work.recipe.steps ?? 0,
      seconds: own,
      validation,
      curve: [],
    } as const
    return { result: { ...result, curve: [] }, trainMs: own * MS_PER_SECOND, epochs }
  }
  const answerStep = (work: Exclude<TaskWork, TrialWork>): TaskResult => {
    switch (work.kind) {
      case 'trainWeights':
      case 'trainMixtures':
        return {
          kind: work.kind,
          loss: 1,
          correct: 0,
          images: weightStepsOf(work) * config.training.batchSize,
          ...(work.kind === 'trainWeights' && work.samples && { effectiveSamples: 1 }),
        }
      case 'evaluatePaths':
        return {
          kind: 'evaluatePaths',
          paths: work.paths.map((path) => {
            const { correct } = lookUp(path)
            return { crossEntropy: 1 - correct / images, correct, images }
          }),
        }
      case 'gateGradients':
      case 'mixtureGradients':
        throw new SimulationError('not-recordable', 'gradients of gates and mixtures are of weights, and a recorded benchmark has none')
      default:
        return work satisfies never
    }
  }
  return (work) =>
    work.kind === 'trainArchitecture' ? train(work) : { result: answerStep(work), trainMs: TASK_MS[work.kind], epochs: null }
}

/** Runs a search to its end. Throws SimulationError, and ProblemError where the configuration does not fit. */
function simulateSearch(options: SimulationOptions): SimulatedSearch {
  const { benchmark, config, agents = 1, budget = Number.POSITIVE_INFINITY, strategy, onStep } = options
  const space = createSpace(benchmark.space)
  const events = createEvents(START_MS)
  const store = createMemoryStore({ copies: false })
  startSearch(() => store, createSetup('s000000000000', config, { ...macsTable(space), version: TABLE_VERSION }, START_MS), strategy)
  const search = openSearch(store, strategy) as OpenSearch
  const answer = createAnswers(options)
  const evaluations: Evaluation[] = []
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
    const { taskId, leaseId, leaseMs, work: given } = leased.task
    const { result, trainMs, epochs } = answer(given)
    let isDone = false
    const keepLease = () => {
      if (isDone) return
      heartbeat(search, { agentId, taskId, leaseId }, events.nowMs())
      events.after(leaseMs / 2, keepLease)
    }
    // Only where it would end before the task does.
    if (trainMs >= leaseMs) events.after(leaseMs / 2, keepLease)
    events.after(trainMs, () => {
      isDone = true
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

export { type Evaluation, simulateSearch, SimulationError, type SimulationOptions }
