// What one agent's wrong numbers may do to a search, and that they are seen.

import { describe, expect, it } from 'vitest'
import { distributionOf, type Task, type TaskResult } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { leaseTask, type OpenSearch, openSearch, registerAgent, searchStatus, startSearch, submitResult } from '../../rules/search/index.ts'
import { KEPT_SIZES, largestUsual, withSize } from '../../rules/usual-size.ts'
import { honestAnswer, makeRegistration, makeSetup, multiplied, START_MS } from '../fixtures/searches.ts'

const HONEST = 'a00000000000a'
const HOSTILE = 'a00000000000b'
const STEPS = 400
const SIZES = { expected: 0.5, least: 1e-6 }

function open(): OpenSearch {
  const store = createMemoryStore({ copies: false })
  const strategy = { warmupSteps: 0, archEvery: 1, learningRate: 0.1, evaluateEvery: STEPS }
  startSearch(() => store, makeSetup({ steps: STEPS, blocks: 2, strategy, loss: { kind: 'none' } }))
  const search = openSearch(store)
  if (!search) throw new Error('expected a search in the store')
  for (const agentId of [HONEST, HOSTILE])
    registerAgent(search, makeRegistration(search.context.space, { name: agentId }), agentId, START_MS)
  return search
}

let leases = 0

function lease(search: OpenSearch, agentId: string) {
  leases += 1
  return leaseTask(search, agentId, `l${String(leases).padStart(12, '0')}`, START_MS)
}

function deliver(search: OpenSearch, agentId: string, { taskId, leaseId }: Task, result: TaskResult): void {
  submitResult(search, { agentId, taskId, leaseId, result, timing: { trainMs: 10, idleMs: 1 } }, START_MS)
}

/** Works to the end; every task of the hostile agent, one of `every`, has gradients so many times too large. */
function run(factor: number, every: number): OpenSearch {
  const search = open()
  for (let turn = 1; turn < 10_000; turn++) {
    const agentId = turn % every === 0 ? HOSTILE : HONEST
    const answer = lease(search, agentId)
    if (answer.kind === 'finished') return search
    if (answer.kind === 'wait') continue
    const result = honestAnswer(search, answer.task)
    deliver(search, agentId, answer.task, agentId === HOSTILE ? multiplied(result, factor) : result)
  }
  throw new Error('expected the search to end')
}

const entropyOf = (search: OpenSearch) => distributionOf(searchStatus(search)).entropy.mean

describe('gate gradients', () => {
  it.each([1e3, 1e6])('of one result that are %d times too large do not hold alpha for the rest of the search', (factor) => {
    const alone = entropyOf(run(1, 1000))
    // The sixth task is the only one of the hostile agent within the first hundred.
    const search = open()
    let spoilt = 0
    for (let turn = 0; turn < 10_000; turn++) {
      const answer = lease(search, HONEST)
      if (answer.kind === 'finished') break
      if (answer.kind !== 'task') throw new Error(`expected a task, got ${answer.kind}`)
      const result = honestAnswer(search, answer.task)
      const spoil = answer.task.work.kind === 'gateGradients' && turn > 40 && spoilt === 0
      if (spoil) spoilt += 1
      deliver(search, HONEST, answer.task, spoil ? multiplied(result, factor) : result)
    }
    expect(spoilt).toBe(1)
    expect(alone).toBeLessThan(0.1)
    expect(entropyOf(search)).toBeLessThan(alone + 0.05)
    expect(searchStatus(search).agents.find(({ agentId }) => agentId === HONEST)).toMatchObject({ clipped: 1, isSetAside: false })
    const logged = search.store.readLog(0, 10_000).filter((entry) => entry.outcome !== 'failed' && entry.clipped !== undefined)
    expect(logged).toMatchObject([{ agentId: HONEST, outcome: 'applied', clipped: 1 }])
  })

  it('that are honest are not changed by a bit', () => {
    const search = run(1, 1000)
    for (const entry of search.store.readLog(0, 10_000)) {
      if (entry.outcome === 'failed') throw new Error('expected results')
      expect(entry.clipped).toBeUndefined()
    }
    expect(searchStatus(search).agents.map(({ clipped }) => clipped)).toEqual([0, 0])
  })
})

describe('an agent whose numbers are far off time and again', () => {
  it('gets no more tasks, and the others end the search', () => {
    const search = open()
    const ended: string[] = []
    for (let turn = 1; turn < 10_000; turn++) {
      const agentId = turn % 3 === 0 && ended.length === 0 ? HOSTILE : HONEST
      try {
        const answer = lease(search, agentId)
        if (answer.kind === 'finished') break
        if (answer.kind === 'wait') continue
        const result = honestAnswer(search, answer.task)
        deliver(search, agentId, answer.task, agentId === HOSTILE ? multiplied(result, 1e5) : result)
      } catch (error) {
        ended.push(agentId)
        expect(error).toMatchObject({ code: 'conflict', errors: [{ path: 'agentId', message: 'set aside' }] })
      }
    }
    expect(ended).toEqual([HOSTILE])
    const { agents, phase } = searchStatus(search)
    expect(phase).toBe('finished')
    expect(agents.find(({ agentId }) => agentId === HOSTILE)).toMatchObject({ clipped: 5, isSetAside: true })
    expect(agents.find(({ agentId }) => agentId === HONEST)).toMatchObject({ clipped: 0, isSetAside: false })
    // Its five tasks were among the first fifteen, when the second moments of Adam are small; it began at 1.1.
    expect(entropyOf(search)).toBeLessThan(0.25)
  })
})

describe('the largest usual size', () => {
  it('is what is expected at first, and ten times the median of the last 33 from the eighth on', () => {
    expect(largestUsual([], SIZES)).toBe(5)
    expect(largestUsual([1e9, 1e9], SIZES)).toBe(5)
    expect(largestUsual([1, 2, 3, 4, 5, 6, 7, 1e9], SIZES)).toBe(10 * 4.5)
    expect(largestUsual(Array<number>(8).fill(0), SIZES)).toBe(10 * 1e-6)
  })

  it('is not moved far by a minority, however wrong', () => {
    let sizes: number[] = []
    for (let i = 0; i < 200; i++) sizes = withSize(sizes, i % 3 === 0 ? (i % 2 === 0 ? 1e20 : 0) : 1)
    expect(sizes).toHaveLength(KEPT_SIZES)
    expect(largestUsual(sizes, SIZES)).toBe(10)
  })
})
