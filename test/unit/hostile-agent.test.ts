// One agent token's worst behaviour beside honest agents, over the rules and under a virtual clock: what it may cost a search.

import { expect, it } from 'vitest'
import { distributionOf, ProblemError, type Task } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import {
  checkToken,
  heartbeat,
  leaseTask,
  type OpenSearch,
  openSearch,
  registerAgent,
  releaseLease,
  searchStatus,
  startSearch,
  submitResult,
} from '../../rules/search/index.ts'
import { createRandom, type Random, seedState } from '../../search-space/index.ts'
import { honestAnswer, makeRegistration, makeSetup, multiplied, START_MS } from '../fixtures/searches.ts'

const STEPS = 600
const TICK_MS = 20
const LEASE_MS = 1000
const HONEST = ['a0000honest00', 'a0000honest01', 'a0000honest02'] as const
const HONEST_TOKEN = 't00000honest0'
const HOSTILE_TOKEN = 't0000hostile0'

let ids = 0
const nextId = (prefix: 'a' | 'l') => `${prefix}${String((ids += 1)).padStart(12, '0')}`

/** What the objects do before they ask the rules. */
function as<T>(search: OpenSearch, tokenId: string, agentId: string, body: () => T): T {
  checkToken(search, agentId, tokenId)
  return body()
}

/** The refusal's code, or what came of it. */
function tried(body: () => unknown): unknown {
  try {
    return body()
  } catch (error) {
    if (error instanceof ProblemError) return error.code
    throw error
  }
}

/** Tries something bad, at random. */
function createHostile(search: OpenSearch, random: Random) {
  let agents: string[] = []
  const held: { agentId: string; task: Task }[] = []
  const counts = { registrations: 0, turnedAway: 0, forbidden: 0, delivered: 0 }
  const submit = (agentId: string, task: Task, factor: number, nowMs: number) =>
    tried(() =>
      as(search, HOSTILE_TOKEN, agentId, () => {
        const request = { agentId, taskId: task.taskId, leaseId: task.leaseId, result: multiplied(honestAnswer(search, task), factor) }
        const { kind } = submitResult(search, { ...request, timing: { trainMs: 1, idleMs: 0 } }, nowMs)
        if (kind === 'accepted') counts.delivered += 1
        return kind
      }),
    )
  const register = (agentId: string, nowMs: number) => {
    counts.registrations += 1
    const registration = makeRegistration(search.context.space, { name: 'hostile' })
    const outcome = tried(() => registerAgent(search, { ...registration, agentId }, nextId('a'), nowMs, HOSTILE_TOKEN))
    if (outcome === 'conflict') counts.turnedAway += 1
    if (outcome === 'forbidden') counts.forbidden += 1
    if (typeof outcome === 'object') agents.push(agentId)
  }
  const lease = (nowMs: number) => {
    const agentId = agents[random.integer(Math.max(1, agents.length))]
    if (agentId === undefined) return
    const outcome = tried(() => as(search, HOSTILE_TOKEN, agentId, () => leaseTask(search, agentId, nextId('l'), nowMs)))
    // Set aside: it begins anew under another id.
    if (outcome === 'conflict') agents = agents.filter((other) => other !== agentId)
    const given = outcome as ReturnType<typeof leaseTask>
    if (given.kind === 'task') held.push({ agentId, task: given.task })
  }
  const attacks: ((nowMs: number) => void)[] = [
    (nowMs) => register(nextId('a'), nowMs),
    // As somebody else.
    (nowMs) => register(HONEST[0], nowMs),
    (nowMs) => {
      const outcome = tried(() => as(search, HOSTILE_TOKEN, HONEST[1], () => leaseTask(search, HONEST[1], nextId('l'), nowMs)))
      expect(outcome).toBe('forbidden')
      counts.forbidden += 1
    },
    // A result for a task of somebody else.
    (nowMs) => {
      const task = search.store.outstandingTasks().find((other) => other.lease && !agents.includes(other.lease.agentId))
      const [agentId] = agents
      if (!task || agentId === undefined || task.ended.some((ended) => ended.agentId === agentId)) return
      const { taskId, work, lease: other } = task
      expect(submit(agentId, { taskId, work, leaseId: other?.leaseId ?? '', leaseMs: LEASE_MS }, -1, nowMs)).toBe('forbidden')
    },
    lease,
    lease,
    lease,
    // Kept alive, and never done.
    (nowMs) => {
      for (const { agentId, task } of held.slice(-20)) {
        tried(() => heartbeat(search, { agentId, taskId: task.taskId, leaseId: task.leaseId }, nowMs))
      }
    },
    (nowMs) => {
      const given = held.pop()
      if (!given) return
      const { agentId, task } = given
      const ref = { agentId, taskId: task.taskId, leaseId: task.leaseId }
      tried(() => releaseLease(search, { ...ref, reason: random.uniform() < 0.5 ? 'failed' : 'bad-numbers' }, nowMs))
    },
    ...[1e6, -1, -1e3].map((factor) => (nowMs: number) => {
      const given = held.pop()
      if (given) submit(given.agentId, given.task, factor, nowMs)
    }),
  ]
  return { counts, attack: (nowMs: number) => attacks[random.integer(attacks.length)]?.(nowMs) }
}

/** Three honest agents, one of them at a time, and before each of them so many attacks. */
function run(attacksPerTurn: number, seed = 1) {
  const store = createMemoryStore({ copies: false })
  const strategy = { warmupSteps: 0, archEvery: 1, learningRate: 0.1, evaluateEvery: STEPS, beta2: 0.99 }
  const tasks = { leaseMs: LEASE_MS, maxLeaseMs: 5 * LEASE_MS, checkpointMs: LEASE_MS, weightSteps: 4, architectureSteps: 1 }
  startSearch(() => store, makeSetup({ steps: STEPS, blocks: 3, strategy, loss: { kind: 'none' }, tasks }))
  const search = openSearch(store)
  if (!search) throw new Error('expected a search in the store')
  for (const agentId of HONEST) {
    registerAgent(search, { ...makeRegistration(search.context.space, { name: agentId }), agentId }, agentId, START_MS, HONEST_TOKEN)
  }
  const random = createRandom(seedState('hostile', seed))
  const { attack, counts } = createHostile(search, random)
  const working = new Map<string, Task>()
  for (let turn = 0; turn < 100_000; turn++) {
    const nowMs = START_MS + turn * TICK_MS
    for (let i = 0; i < attacksPerTurn; i++) attack(nowMs)
    const agentId = HONEST[turn % HONEST.length] as string
    const task = working.get(agentId)
    if (task) {
      working.delete(agentId)
      const request = { agentId, taskId: task.taskId, leaseId: task.leaseId, result: honestAnswer(search, task) }
      submitResult(search, { ...request, timing: { trainMs: TICK_MS, idleMs: 0 } }, nowMs)
      continue
    }
    const given = leaseTask(search, agentId, nextId('l'), nowMs)
    if (given.kind === 'finished') return { search, counts, turns: turn }
    if (given.kind === 'task') working.set(agentId, given.task)
  }
  throw new Error('expected the search to end')
}

it('one agent token, at its worst, costs a search at most the tasks that it held', () => {
  const alone = run(0)
  const { search, counts, turns } = run(2)
  const [quiet, status] = [searchStatus(alone.search), searchStatus(search)]
  expect(status.phase).toBe('finished')
  // It has done what it can.
  expect(counts.registrations).toBeGreaterThan(100)
  expect(counts.forbidden).toBeGreaterThan(100)
  expect(counts.delivered).toBeGreaterThan(5)
  // Agent after agent was set aside, and then the token.
  expect(counts.turnedAway).toBeGreaterThan(0)
  // No task was lost, each has one result, and honest agents are as they were.
  expect(status.tasks).toMatchObject({ failed: 0, created: status.tasks.done + status.tasks.stale })
  const applied = search.store.readLog(0, 100_000)
  expect(new Set(applied.map(({ taskId }) => taskId)).size).toBe(status.tasks.created)
  expect(applied.filter(({ tokenId }) => tokenId === HOSTILE_TOKEN)).toHaveLength(counts.delivered)
  for (const agentId of HONEST) {
    expect(status.agents.find((agent) => agent.agentId === agentId)).toMatchObject({ isSetAside: false, refusedPushes: 0, duplicates: 0 })
  }
  // The result is that of a run without it, and takes not much longer.
  expect(status.current.path).toEqual(quiet.current.path)
  expect(distributionOf(status).entropy.mean).toBeLessThan(distributionOf(quiet).entropy.mean + 0.1)
  expect(turns).toBeLessThan(3 * alone.turns)
})
