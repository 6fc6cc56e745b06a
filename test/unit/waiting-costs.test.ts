// What agents that wait cost: their requests, counted by the rules of a search on a simulated clock.

import { expect, it } from 'vitest'
import { waitMs } from '../../protocol/index.ts'
import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { commandSearch, leaseTask, openSearch, registerAgent, startSearch } from '../../rules/search/index.ts'
import { createRandom, seedState } from '../../search-space/index.ts'
import { createEvents } from '../../simulation/events.ts'
import { makeRegistration, makeSetup, type SearchOptions, START_MS } from '../fixtures/searches.ts'

const DAY_MS = 24 * 3_600_000
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
