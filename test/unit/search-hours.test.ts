// A search that goes on for hours instead of a number of steps, on a clock of its own.

import { describe, expect, it } from 'vitest'
import { distributionOf, outcomeOf, ProblemError, type TaskWork } from '../../protocol/index.ts'
import {
  commandSearch,
  leaseTask,
  openSearch,
  type OpenSearch,
  registerAgent,
  searchStatus,
  startSearch,
  submitResult,
} from '../../rules/search/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { answerWork, makeRegistration, makeSetup, resultsOf, type SearchOptions, START_MS } from '../fixtures/searches.ts'

const AGENT = 'a00000000000a'
const HOUR_MS = 3_600_000
const TASK_MS = 20_000
const MAX_TASKS = 5000

type Clock = { ms: number }

function open(options: SearchOptions): OpenSearch {
  const store = createMemoryStore()
  startSearch(() => store, makeSetup({ steps: 1000, tasks: { weightSteps: 4, architectureSteps: 2, leaseMs: 60_000 }, ...options }))
  const search = openSearch(store) as OpenSearch
  registerAgent(search, makeRegistration(search.context.space), AGENT, START_MS)
  return search
}

let leases = 0

/** One agent that works until there is nothing more to do, or `until` holds; each task takes TASK_MS. */
function work(search: OpenSearch, clock: Clock, until: () => boolean = () => false): void {
  for (let task = 0; task < MAX_TASKS && !until(); task++) {
    const leaseId = `l${String((leases += 1)).padStart(12, '0')}`
    const answer = leaseTask(search, AGENT, leaseId, START_MS + clock.ms)
    if (answer.kind !== 'task') return
    clock.ms += TASK_MS
    const { taskId, work: wanted } = answer.task
    const result = answerWork(wanted, search.context.space, taskId)
    submitResult(search, { agentId: AGENT, taskId, leaseId, result, timing: { trainMs: TASK_MS, idleMs: 0 } }, START_MS + clock.ms)
  }
}

const strategy = { warmupShare: 0.25, warmupSteps: undefined, archEvery: 2, evaluateEvery: 100, entropy: { end: 0.2, weight: 1 } }
const worksOf = (search: OpenSearch) => resultsOf(search.store.readLog(0, MAX_TASKS)).map((entry) => entry.work)
const weightWorks = (works: readonly TaskWork[]) => works.filter((entry) => entry.kind === 'trainWeights')

describe('a search by hours', () => {
  it('ends when they have passed, warms up for its share of them, and lowers the learning rate along with the time', () => {
    const search = open({ hours: 1, strategy })
    const clock = { ms: 0 }
    work(search, clock)
    expect(searchStatus(search).phase).toBe('finished')
    // What was due when the time was over comes after it: the last architecture steps and an evaluation.
    expect(clock.ms).toBeGreaterThanOrEqual(HOUR_MS)
    expect(clock.ms).toBeLessThan(HOUR_MS + 4 * TASK_MS)

    const works = worksOf(search)
    const positions = weightWorks(works).map(({ schedule }) => schedule?.from as number)
    expect(positions[0]).toBe(0)
    expect(positions).toEqual(positions.toSorted((a, b) => a - b))
    expect(positions.at(-1)).toBeGreaterThan(980)
    expect(positions.at(-1)).toBeLessThan(1000)
    for (const { schedule } of weightWorks(works)) expect(schedule).toMatchObject({ perStep: 0, counts: 4 })

    const warm = works.findIndex(({ kind }) => kind === 'gateGradients')
    const warmSteps = weightWorks(works.slice(0, warm)).reduce((sum, { paths }) => sum + paths.length, 0)
    // A quarter of an hour is 45 tasks of four steps.
    expect(Math.abs(warmSteps - 180)).toBeLessThanOrEqual(8)
    const { weightSteps, architectureSteps } = distributionOf(searchStatus(search))
    expect(Math.abs(architectureSteps.done - (weightSteps.done - warmSteps) / 2)).toBeLessThanOrEqual(4)
    expect(works.at(-1)?.kind).toBe('evaluatePaths')
  })

  it('says halfway how many steps it will come to', () => {
    const search = open({ hours: 1, strategy })
    const clock = { ms: 0 }
    work(search, clock, () => clock.ms >= HOUR_MS / 2)
    const { steps, progress, timeLeftMs } = searchStatus(search)
    expect(progress).toBeCloseTo(0.5, 1)
    expect(Math.abs(steps.total / (2 * steps.done) - 1)).toBeLessThan(0.05)
    expect(Math.abs((timeLeftMs as number) - HOUR_MS / 2)).toBeLessThanOrEqual(TASK_MS)
  })

  it('does not count the time in which nobody works', () => {
    const search = open({ hours: 1, strategy })
    const clock = { ms: 0 }
    work(search, clock, () => clock.ms >= HOUR_MS / 2)
    commandSearch(search, 'pause', START_MS + clock.ms)
    clock.ms += 100 * HOUR_MS
    commandSearch(search, 'resume', START_MS + clock.ms)
    work(search, clock)
    const workedMs = clock.ms - 100 * HOUR_MS
    expect(workedMs).toBeGreaterThan(HOUR_MS - 60_000)
    expect(workedMs).toBeLessThan(HOUR_MS + 4 * TASK_MS)
  })

  it('can be replayed from its log, the schedule of entropy included', () => {
    const search = open({ hours: 0.5, strategy: { ...strategy, initialDeviation: 0.3, learningRate: 0.1 } })
    work(search, { ms: 0 })
    const log = search.store.readLog(0, MAX_TASKS)
    let state = proxylessGradient.init(search.context)
    for (const entry of log) state = proxylessGradient.absorb(state, entry, outcomeOf(entry), search.context).state
    const { alpha, entropy } = distributionOf(searchStatus(search))
    expect(state.alpha).toEqual(alpha)
    expect(entropy.mean).toBeLessThan(0.5 * entropy.start)
  })

  it('is refused by strategies whose length follows from their own settings', () => {
    expect(() => open({ hours: 1, strategy: { name: 'random', trials: 4 } })).toThrow(ProblemError)
    expect(() => open({ hours: 1, strategy: { name: 'random', trials: 4 } })).toThrow(
      /strategy random takes its length from its own settings/,
    )
  })
})
