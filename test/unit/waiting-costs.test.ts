// What agents that wait cost: their requests, counted by the rules of a search on a simulated clock.

import { afterEach, expect, it, vi } from 'vitest'
import { PING, waitMs } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { commandSearch, leaseTask, openSearch, registerAgent, startSearch } from '../../rules/search/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { createEvents } from '../../simulation/events.ts'
import { createWaiting } from '../../worker-agent/agent/waiting.ts'
import { openWakeUpSocket } from '../../worker-agent/client/wake-up-socket.ts'
import { makeRegistration, makeSetup, type SearchOptions, START_MS } from '../fixtures/searches.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const AGENTS = 10

/** Requests of agents that ask for work from now on; tasks that are handed out stay where they are. */
function askers(options: SearchOptions, agents: number) {
  const store = createMemoryStore()
  startSearch(() => store, makeSetup(options))
  const search = openSearch(store)
  if (!search) throw new Error('the search was not created')
  const events = createEvents(START_MS)
  const random = createRandom(seedState('waits', 1))
  const requests = { count: 0, tasks: [] as { agent: number; atMs: number }[] }
  const ask = (agent: number, agentId: string, waits: number): void => {
    requests.count += 1
    const answer = leaseTask(search, agentId, `l${String(requests.count).padStart(12, '0')}`, events.nowMs())
    if (answer.kind === 'wait') events.after(waitMs(answer, waits, random.uniform()), () => ask(agent, agentId, waits + 1))
    if (answer.kind === 'task') requests.tasks.push({ agent, atMs: events.nowMs() })
  }
  for (let agent = 0; agent < agents; agent++) {
    const agentId = `a${String(agent).padStart(12, '0')}`
    registerAgent(search, makeRegistration(search.context.space, { name: agentId }), agentId, START_MS)
    events.after(0, () => ask(agent, agentId, 0))
  }
  return { search, events, requests }
}

it('a search that is paused for a day with 10 agents costs under 5,000 requests, and all are back within 5 minutes of its end', () => {
  const { search, events, requests } = askers({}, AGENTS)
  commandSearch(search, 'pause', START_MS)
  events.after(DAY_MS, () => void commandSearch(search, 'resume', START_MS + DAY_MS))
  while (events.nowMs() < START_MS + DAY_MS && events.step());
  expect(requests.count).toBeGreaterThan((AGENTS * DAY_MS) / 300_000)
  expect(requests.count).toBeLessThan(5000)
  while (requests.tasks.length < AGENTS && events.step());
  expect(new Set(requests.tasks.map(({ agent }) => agent)).size).toBe(AGENTS)
  for (const { atMs } of requests.tasks) expect(atMs - START_MS - DAY_MS).toBeLessThan(300_000)
})

it('an agent whose search is handed out asks every 10 s in the end, and notices what comes back within a quarter of its wait', () => {
  const { events, requests } = askers({ tasks: { maxOutstanding: 1, leaseMs: 60_000 } }, 2)
  while (requests.tasks.length < 2 && events.step());
  // The lease of the other one ends after a minute.
  const [, second] = requests.tasks
  expect(second?.atMs).toBeGreaterThanOrEqual(START_MS + 60_000)
  expect(second?.atMs).toBeLessThan(START_MS + 70_000)
  expect(requests.count).toBeLessThan(35)
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Of a Durable Object's bill: so many messages that come in over sockets are a request. */
const MESSAGES_PER_REQUEST = 20
/** As fast as a connection is made over the internet. */
const OPEN_MS = 100

/** Agents as they are, their sockets standing in for Node's; what they cost is counted as Cloudflare bills it. */
function listeners(options: SearchOptions, agents: number) {
  vi.useFakeTimers({ now: START_MS })
  const store = createMemoryStore()
  startSearch(() => store, makeSetup(options))
  const search = openSearch(store)
  if (!search) throw new Error('the search was not created')
  const random = createRandom(seedState('listeners', 1))
  const counts = { leases: 0, upgrades: 0, messages: 0 }
  const sockets: EventTarget[] = []
  const tasks: number[] = []
  class CountedSocket extends EventTarget {
    static readonly OPEN = 1
    readyState = 0
    constructor() {
      super()
      counts.upgrades += 1
      sockets.push(this)
      setTimeout(() => {
        this.readyState = CountedSocket.OPEN
        this.dispatchEvent(new Event('open'))
      }, OPEN_MS)
    }
    send(data: string) {
      expect(data).toBe(PING)
      counts.messages += 1
      setTimeout(() => this.dispatchEvent(new MessageEvent('message', { data: 'pong' })), OPEN_MS)
    }
    close() {
      this.readyState = 3
    }
  }
  vi.stubGlobal('WebSocket', CountedSocket)
  const stop = new AbortController()
  for (let agent = 0; agent < agents; agent++) {
    const agentId = `a${String(agent).padStart(12, '0')}`
    registerAgent(search, makeRegistration(search.context.space, { name: agentId }), agentId, START_MS)
    const address = { coordinator: 'https://coordinator.test', token: 'gha.token', base: '/v1/searches/s', agentId }
    const waiting = createWaiting({
      stop: stop.signal,
      now: Date.now,
      random: () => random.uniform(),
      openWakeUps: (listener) => openWakeUpSocket(address, listener),
    })
    const ask = async (): Promise<void> => {
      counts.leases += 1
      const answer = leaseTask(search, agentId, `l${String(counts.leases).padStart(12, '0')}`, Date.now())
      if (answer.kind === 'wait') return waiting.wait(answer).then(ask)
      if (answer.kind === 'task') tasks.push(Date.now())
      waiting.over()
    }
    setTimeout(() => void ask().catch(() => undefined), 0)
  }
  const wakeAll = () => {
    for (const socket of sockets) socket.dispatchEvent(new MessageEvent('message', { data: '{"kind":"work"}' }))
  }
  const requests = () => counts.leases + counts.upgrades + counts.messages / MESSAGES_PER_REQUEST
  return { search, counts, tasks, requests, wakeAll, stop }
}

it('with sockets an hour of a paused search with 10 agents costs under 120 requests, a day under 2,200, and all are back at once', async () => {
  const { search, counts, tasks, requests, wakeAll, stop } = listeners({}, AGENTS)
  commandSearch(search, 'pause', START_MS)
  await vi.advanceTimersByTimeAsync(HOUR_MS)
  expect(requests()).toBeLessThan(120)
  await vi.advanceTimersByTimeAsync(DAY_MS - HOUR_MS)
  expect(requests()).toBeLessThan(2200)
  expect(counts.upgrades).toBe(AGENTS)
  commandSearch(search, 'resume', START_MS + DAY_MS)
  const { leases } = counts
  wakeAll()
  await vi.advanceTimersByTimeAsync(0)
  expect(counts.leases).toBe(leases + AGENTS)
  expect(tasks.length).toBeGreaterThan(0)
  stop.abort(new Error('over'))
})

it('with sockets an agent whose search is handed out costs under 180 requests an hour', async () => {
  const { tasks, requests, stop } = listeners({ tasks: { maxOutstanding: 1, leaseMs: HOUR_MS } }, 2)
  await vi.advanceTimersByTimeAsync(HOUR_MS - 1000)
  expect(tasks).toHaveLength(1)
  expect(requests()).toBeGreaterThan(HOUR_MS / 25_000)
  expect(requests()).toBeLessThan(180)
  stop.abort(new Error('over'))
})
