// A whole search through the coordinator's own rules, on a clock that only moves when something happens, with agents that look
// results up in a recorded benchmark instead of training. One agent is the plain loop; the same seed gives the same log.

import { PROTOCOL, type SearchConfig, taskKinds, type TaskResult, type TaskWork, weightStepsOf } from '../protocol/index.ts'
import { createMemoryStore } from '../rules/search/memory-store.ts'
import { createSetup, leaseTask, type OpenSearch, openSearch, registerAgent, startSearch, submitResult } from '../rules/search/index.ts'
import { createRandom, createSpace, type Path, type Random, seedState } from '../search-space/index.ts'
import type { Strategy } from '../strategies/index.ts'
import { createEvents } from './events.ts'
import { macsTable } from './macs-table.ts'
import { answerScores } from './recorded-scores.ts'
import type { RecordedBenchmark } from './recorded-benchmark.ts'

const START_MS = 1_800_000_000_000
const TABLE_VERSION = '0'.repeat(64)
const FINGERPRINT = '0'.repeat(64)
/** What a task takes on the clock, milliseconds; nothing but the order of events depends on it. */
const TASK_MS = {
  trainWeights: 20,
  trainMixtures: 60,
  gateGradients: 50,
  mixtureGradients: 100,
  evaluatePaths: 100,
  score: 10,
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

type SimulatedSearch = {
  readonly search: OpenSearch
  /** Architectures evaluated or trained for the strategy, in the order in which their results came back. */
  readonly evaluated: readonly Path[]
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
  readonly onStep?: (evaluated: readonly Path[], derive: () => number[]) => void
}

function createAnswers({ benchmark, config }: SimulationOptions) {
  const random: Random = createRandom(seedState('recorded', config.seed))
  const { images } = benchmark
  const correctOf = (path: Path): number => {
    const recorded = benchmark.read(path)
    if (recorded === 'not-recorded') throw new SimulationError('not-recorded', `${benchmark.name} has no training of ${path.join(' ')}`)
    const accuracy = recorded.accuracies[random.integer(recorded.accuracies.length)] as number
    return Math.round(accuracy * images)
  }
  return (work: TaskWork): TaskResult => {
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
            const correct = correctOf(path)
            return { crossEntropy: 1 - correct / images, correct, images }
          }),
        }
      case 'trainArchitecture': {
        const correct = correctOf(work.path)
        const validation = { crossEntropy: 1 - correct / images, correct, images }
        return { kind: 'trainArchitecture', end: 'finished', steps: work.recipe.steps ?? 0, seconds: 1, validation, curve: [] }
      }
      case 'score': {
        const result = answerScores(benchmark, work)
        if (result) return result
        throw new SimulationError(
          'not-recorded',
          `${benchmark.name} has no ${work.scores.join(' and ')} of an architecture that was asked for`,
        )
      }
      case 'gateGradients':
      case 'mixtureGradients':
        throw new SimulationError('not-recordable', 'gradients of gates and mixtures are of weights, and a recorded benchmark has none')
      default:
        return work satisfies never
    }
  }
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
  const evaluated: Path[] = []
  const derive = () => search.strategy.derive(store.readState().strategy, search.context)
  let leases = 0

  const work = (agentId: string) => {
    leases += 1
    const leased = leaseTask(search, agentId, `l${String(leases).padStart(12, '0')}`, events.nowMs())
    if (leased.kind === 'finished') return
    if (leased.kind === 'wait') {
      events.after(leased.retryAfterMs, () => work(agentId))
      return
    }
    const { taskId, leaseId, work: given } = leased.task
    const result = answer(given)
    const trainMs = TASK_MS[given.kind]
    events.after(trainMs, () => {
      submitResult(search, { agentId, taskId, leaseId, result, timing: { trainMs, idleMs: 0 } }, events.nowMs())
      if (given.kind === 'trainArchitecture') {
        evaluated.push(given.path)
        onStep?.(evaluated, derive)
      }
      if (given.kind === 'evaluatePaths' && given.batches) {
        evaluated.push(...given.paths)
        onStep?.(evaluated, derive)
      }
      work(agentId)
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
  while (evaluated.length < budget && events.step());
  return { search, evaluated, derive }
}

export { simulateSearch, SimulationError, type SimulationOptions }
