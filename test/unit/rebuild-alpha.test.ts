// Alpha without the results of an agent or of a range: as if they had never come, and the log replays to it ever after.

import { describe, expect, it } from 'vitest'
import { distributionOf, type LogEntry, outcomeOf, ProblemError, type TaskResult, trainsWeights } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import {
  leaseTask,
  type OpenSearch,
  openSearch,
  rebuildAlpha,
  registerAgent,
  searchStatus,
  startSearch,
  submitResult,
} from '../../rules/search/index.ts'
import { proxylessGradient } from '../../strategies/proxyless-gradient.ts'
import { answerWork, makeRegistration, makeSetup, type SearchOptions, START_MS } from '../fixtures/searches.ts'

const HONEST = 'a00000000000h'
const WRONG = 'a00000000000w'

/** A search of two agents, which has come some tasks far. */
function createSearch(options: SearchOptions = {}, steps = 40) {
  const store = createMemoryStore()
  startSearch(() => store, makeSetup({ blocks: 2, steps, ...options }))
  const search = openSearch(store) as OpenSearch
  for (const agentId of [HONEST, WRONG]) registerAgent(search, makeRegistration(search.context.space, { name: agentId }), agentId, START_MS)
  let leases = 0
  /** Takes turns; false where the search has ended. */
  const work = (change: (result: TaskResult) => TaskResult = (result) => result): boolean => {
    leases += 1
    const agentId = leases % 2 === 0 ? WRONG : HONEST
    const leaseId = `l${String(leases).padStart(12, '0')}`
    const answer = leaseTask(search, agentId, leaseId, START_MS + leases)
    if (answer.kind === 'finished') return false
    if (answer.kind !== 'task') throw new Error(`expected a task, got ${answer.reason}`)
    const { task } = answer
    const honest = answerWork(task.work, search.context.space, task.taskId)
    const result = agentId === WRONG ? change(honest) : honest
    submitResult(search, { agentId, taskId: task.taskId, leaseId, result, timing: { trainMs: 10, idleMs: 0 } }, START_MS + leases)
    return true
  }
  return { search, work, log: () => store.readLog(0, 10_000) }
}

const alphaOf = (search: OpenSearch) => distributionOf(searchStatus(search)).alpha

/** Alpha of a log by the strategy itself. */
function replay({ context }: OpenSearch, log: readonly LogEntry[]): number[][] {
  let state = proxylessGradient.init(context)
  for (const entry of log) state = proxylessGradient.absorb(state, entry, outcomeOf(entry), context).state
  return state.alpha
}

/** Gradients that push the other way. */
const reversed = (result: TaskResult): TaskResult =>
  result.kind !== 'gateGradients'
    ? result
    : {
        ...result,
        steps: result.steps.map((step) => ({
          ...step,
          gateGradients: step.gateGradients.map((gradients) => gradients && gradients.map((value) => -value)) as typeof step.gateGradients,
        })),
      }

describe('alpha that is rebuilt', () => {
  it('without an agent is what the others alone have made of it, and the search ends with an alpha that its log comes to', () => {
    const { search, work, log } = createSearch()
    for (let i = 0; i < 16; i++) work(reversed)
    const before = alphaOf(search)
    const moved = log().filter(({ agentId, work: done }) => agentId === WRONG && done.kind === 'gateGradients')
    expect(moved.length).toBeGreaterThan(0)
    const { weightSteps } = searchStatus(search)
    const others = log().filter((entry) => entry.agentId !== WRONG || trainsWeights(entry.work))
    const expected = replay(search, others)
    expect(expected).not.toEqual(before)

    const rebuilt = rebuildAlpha(search, { agentId: WRONG })
    expect(alphaOf(search)).toEqual(expected)
    expect(rebuilt.excluded).toBe(log().filter(({ agentId, work: done }) => agentId === WRONG && !trainsWeights(done)).length)
    expect(log().flatMap((entry) => (entry.outcome !== 'failed' && entry.excluded ? [entry.agentId] : []))).toEqual(
      Array.from({ length: rebuilt.excluded }, () => WRONG),
    )
    expect(searchStatus(search).weightSteps).toEqual(weightSteps)
    expect(rebuildAlpha(search, { agentId: WRONG })).toEqual({ ...rebuilt, excluded: 0 })
    expect(alphaOf(search)).toEqual(expected)

    while (work());
    expect(searchStatus(search).phase).toBe('finished')
    expect(alphaOf(search)).toEqual(replay(search, log()))
  })

  it('without a range leaves the results before and behind it', () => {
    const { search, work, log } = createSearch()
    while (work());
    const gates = log().filter(({ work: done }) => done.kind === 'gateGradients')
    const [, from, to] = gates
    expect(to).toBeDefined()
    const range = { from: from?.seq ?? 0, to: to?.seq ?? 0 }
    const kept = log().filter(({ seq, work: done }) => trainsWeights(done) || seq < range.from || seq > range.to)
    rebuildAlpha(search, range)
    expect(alphaOf(search)).toEqual(replay(search, kept))
  })

  it('is refused where there is none, and where the log does not come to it; nothing changes then', () => {
    const refusal = (search: OpenSearch) => {
      const before = structuredClone([search.store.readState(), search.store.readLog(0, 10_000)])
      let refused: unknown
      try {
        rebuildAlpha(search, { agentId: WRONG })
      } catch (error) {
        refused = error
      }
      expect([search.store.readState(), search.store.readLog(0, 10_000)]).toEqual(before)
      expect(refused).toBeInstanceOf(ProblemError)
      return (refused as ProblemError).code
    }
    const { search, work } = createSearch()
    for (let i = 0; i < 12; i++) work()
    const state = search.store.readState()
    const strategy = structuredClone(state.strategy) as { alpha: number[][] }
    strategy.alpha[0] = (strategy.alpha[0] ?? []).map((value) => value + 1)
    search.store.writeState({ ...state, strategy })
    expect(refusal(search)).toBe('conflict')
    expect(refusal(createSearch({ strategy: { name: 'random', trials: 2 } }).search)).toBe('conflict')
  })
})
