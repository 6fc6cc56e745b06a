// The clock of a coordinator is set forward or back by an hour while agents work: one of them goes on, one has died.

import { runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  call,
  createTestSearch,
  encodePush,
  finishSearch,
  leaseTask,
  pullShard,
  push,
  readLog,
  readStatus,
  registerTestAgent,
  searchObject,
  submission,
  submitTask,
} from './api.ts'

const HOUR_MS = 3_600_000
const LEASE_MS = 10_000
const STEM = 'stem/conv/conv.filter'

afterEach(() => void vi.useRealTimers())

// Never behind the runtime's own clock, which would ring alarms over and over.
describe.each([
  ['forward', 0, HOUR_MS],
  ['back', HOUR_MS, 0],
])('a clock that is set %s by an hour', (_, beforeMs, afterMs) => {
  it('loses no result, counts none twice, and leaves no lease and no seat to an agent that has died', async () => {
    const realMs = Date.now()
    vi.setSystemTime(realMs + beforeMs)
    const search = await createTestSearch({ steps: 60, tasks: { leaseMs: LEASE_MS } })
    const [alive, dead] = [await registerTestAgent(search, 'alive'), await registerTestAgent(search, 'dead')]
    await submitTask(search, dead, await leaseTask(search, dead))
    await submitTask(search, alive, await leaseTask(search, alive))
    const task = await leaseTask(search, alive)
    const { taskId: taskOfDead } = await leaseTask(search, dead)
    await push(search, alive, task.taskId, encodePush(search, { [STEM]: 0 }, 0.01))

    vi.setSystemTime(realMs + afterMs)
    expect((await push(search, alive, task.taskId, encodePush(search, { [STEM]: 0 }, 0.01))).kind).toBe('duplicate')
    expect(await submitTask(search, alive, task)).toEqual({ kind: 'accepted' })
    expect((await call('POST', `${search.path}/results`, { token: search.agentToken, json: submission(search, alive, task) })).status).toBe(
      200,
    )
    await call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId: alive } })
    const alarmAtMs = await runInDurableObject(searchObject(search), (__, { storage }) => storage.getAlarm())
    expect(alarmAtMs).toBeLessThanOrEqual(Date.now() + LEASE_MS)

    vi.setSystemTime(realMs + afterMs + LEASE_MS)
    const other = await registerTestAgent(search, 'other')
    await finishSearch(search, other)
    const log = await readLog(search)
    const { phase, tasks } = await readStatus(search)
    expect({ phase, ...tasks }).toMatchObject({
      phase: 'finished',
      created: log.length,
      done: log.length,
      leased: 0,
      queued: 0,
      duplicates: 1,
    })
    expect(new Set(log.map(({ taskId }) => taskId)).size).toBe(log.length)
    expect(log.find(({ taskId }) => taskId === taskOfDead)?.agentId).toBe(other)
    expect((await pullShard(search, 0, { [STEM]: -1 })).versions).toEqual({ [STEM]: 1 })
  })
})
