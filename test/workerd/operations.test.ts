// What whoever runs a coordinator can see of it afterwards.

import { env } from 'cloudflare:workers'
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import worker from '../../coordinator/index.ts'
import { directoryNames } from '../../coordinator/objects/directory-object.ts'
import type { Environment } from '../../coordinator/objects/environment.ts'
import { type AuditEntry, distributionOf, MAX_AUDIT_ENTRIES } from '../../protocol/index.ts'
import {
  ADMIN_TOKEN,
  call,
  createTestSearch,
  expectJson,
  expectProblem,
  finishSearch,
  leaseTask,
  leaseUntil,
  readLog,
  readStatus,
  registerTestAgent,
  submitTask,
} from './api.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** First 12 hexadecimal digits of the SHA-256 of a text. */
async function fingerprint(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return [...hash.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A request to the Worker with other bindings, and the lines of JSON that it logged meanwhile. */
async function logged(bindings: Partial<Environment>, path: string, { token = ADMIN_TOKEN, method = 'GET' } = {}) {
  const lines: string[] = []
  for (const level of ['log', 'error'] as const) vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(line))
  const response = await worker.fetch(
    new Request(`http://gatehouse${path}`, { method, headers: { Authorization: `Bearer ${token}` } }),
    { ...(env as Environment), ...bindings },
    { waitUntil: () => undefined, passThroughOnException: () => undefined } as unknown as ExecutionContext,
  )
  await response.clone().text()
  return { response, lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a request', () => {
  it('has an id of its own, in a header and in its problem document', async () => {
    const [first, second] = [await call('GET', '/v1/searches/s000000000000'), await call('GET', '/health', { token: null })]
    const ids = [first, second].map(({ headers }) => headers.get('X-Request-Id') ?? '')
    for (const id of ids) expect(id).toMatch(UUID)
    expect(ids[0]).not.toBe(ids[1])
    expect((await expectProblem(first, 404)).requestId).toBe(ids[0])
  })

  it('is a line of JSON in the log: method, route, ids, status, and who', async () => {
    const { searchId, agentToken, tokenId } = await createTestSearch()
    const read = await logged({ LOG_REQUESTS: 'all' }, `/v1/searches/${searchId}`)
    expect(read.lines).toEqual([
      {
        kind: 'request',
        requestId: read.response.headers.get('X-Request-Id'),
        method: 'GET',
        route: '/v1/searches/:searchId',
        searchId,
        status: 200,
        ms: expect.any(Number) as number,
        caller: 'admin',
        fingerprint: await fingerprint(ADMIN_TOKEN),
      },
    ])
    const refused = await logged({ LOG_REQUESTS: 'all' }, `/v1/searches/${searchId}/pause`, { token: agentToken, method: 'POST' })
    expect(refused.lines).toMatchObject([{ route: '/v1/searches/:searchId/pause', status: 403, caller: 'agent', tokenId }])
    const stranger = await logged({ LOG_REQUESTS: 'all' }, '/v1/searches', { token: 'nobody' })
    expect(stranger.lines).toMatchObject([{ status: 401, caller: null }])
    expect(JSON.stringify([read.lines, refused.lines])).not.toContain(agentToken.split('.')[3] as string)
  })

  it('is no line where only failures are wanted, or nothing', async () => {
    for (const LOG_REQUESTS of ['failures', 'none']) expect((await logged({ LOG_REQUESTS }, '/v1/searches')).lines).toEqual([])
  })

  it('that fails unforeseen is logged under the id that its answer names, whatever is wanted', async () => {
    const broken = { getByName: () => ({ list: () => Promise.reject(new Error('the list is broken')) }) }
    const DIRECTORY = { getByName: () => broken.getByName() } as unknown as Environment['DIRECTORY']
    const { response, lines } = await logged({ LOG_REQUESTS: 'failures', DIRECTORY }, '/v1/searches')
    const { requestId, detail } = await expectProblem(response, 500, 'internal')
    expect(detail).toContain(requestId as string)
    expect(lines).toMatchObject([
      { kind: 'failure', requestId, message: 'the list is broken', stack: expect.stringContaining('Error') as string },
      { kind: 'request', requestId, status: 500 },
    ])
  })
})

describe('the audit list', () => {
  const audit = async (query = '') => ((await expectJson(call('GET', `/v1/audit${query}`))) as { entries: AuditEntry[] }).entries

  it('has what was done with the admin token: by which, when and what; not what was read, refused, or done by agents', async () => {
    const startedAtMs = Date.now()
    const search = await createTestSearch()
    const before = (await audit())[0]?.seq ?? 0
    await registerTestAgent(search)
    await expectJson(call('GET', search.path))
    await expectProblem(call('POST', `${search.path}/tokens`, { json: {} }), 400)
    const paused = await call('POST', `${search.path}/pause`)
    await expectProblem(call('DELETE', '/v1/latency-tables/nothing-is-here'), 404)
    const deleted = await call('DELETE', search.path)
    const entries = (await audit()).filter(({ seq }) => seq > before)
    const actor = await fingerprint(ADMIN_TOKEN)
    expect(entries).toEqual([
      {
        seq: before + 2,
        atMs: expect.any(Number) as number,
        actor,
        method: 'DELETE',
        path: search.path,
        status: 204,
        requestId: deleted.headers.get('X-Request-Id'),
      },
      {
        seq: before + 1,
        atMs: expect.any(Number) as number,
        actor,
        method: 'POST',
        path: `${search.path}/pause`,
        status: 200,
        requestId: paused.headers.get('X-Request-Id'),
      },
    ])
    for (const { atMs } of entries) expect(atMs).toBeGreaterThanOrEqual(startedAtMs)
    expect((await audit(`?before=${before + 2}&limit=1`)).map(({ seq }) => seq)).toEqual([before + 1])
    await expectProblem(call('GET', '/v1/audit', { token: search.agentToken }), 403)
  })

  it('keeps a bounded number of them', async () => {
    const list = env.DIRECTORY.getByName(directoryNames.audit)
    const seq = 1_000_000
    const entry = { seq, atMs: 0, actor: 'a', method: 'POST', path: '/', status: 200, requestId: 'r' }
    await runInDurableObject(list, (_, { storage }) => {
      const insert = 'INSERT OR REPLACE INTO audit (seq, json) VALUES (?, ?)'
      for (const at of [seq - MAX_AUDIT_ENTRIES, seq]) storage.sql.exec(insert, at, JSON.stringify({ ...entry, seq: at }))
    })
    await createTestSearch()
    const seqs = (await audit()).map((kept) => kept.seq)
    expect(seqs.slice(0, 3)).toEqual([seq + 2, seq + 1, seq])
    expect(seqs).not.toContain(seq - MAX_AUDIT_ENTRIES)
  })
})

describe('the list of searches', () => {
  const names = (answer: unknown) =>
    (answer as { searches: { name: string; phase: string }[] }).searches.map(({ name, phase }) => [name, phase])

  it('is one call: searches have told it their phases, and are not asked', async () => {
    const search = await createTestSearch({ name: 'listed alone' })
    const agentId = await registerTestAgent(search)
    const SEARCH = { getByName: () => Promise.reject(new Error('a search was asked')) } as unknown as Environment['SEARCH']
    const phase = async () => {
      const { response } = await logged({ SEARCH }, '/v1/searches')
      return names(await response.json()).find(([name]) => name === 'listed alone')?.[1]
    }
    expect(await phase()).toBe('waiting')
    await submitTask(search, agentId, await leaseTask(search, agentId))
    expect(await phase()).toBe('warmup')
    await expectJson(call('POST', `${search.path}/pause`))
    expect(await phase()).toBe('paused')
    await expectJson(call('POST', `${search.path}/resume`))
    await finishSearch(search, agentId)
    expect(await phase()).toBe('finished')
  })

  it('asks a search that has told it nothing, once', async () => {
    const search = await createTestSearch({ name: 'of an earlier version' })
    const list = env.DIRECTORY.getByName(directoryNames.searches)
    const told = () =>
      runInDurableObject(list, (_, { storage }) => {
        const { summary } = storage.sql
          .exec<{ summary: string | null }>('SELECT summary FROM searches WHERE search_id = ?', search.searchId)
          .one()
        return summary
      })
    await runInDurableObject(list, (_, { storage }) =>
      storage.sql.exec('UPDATE searches SET summary = NULL, summary_seq = 0 WHERE search_id = ?', search.searchId).toArray(),
    )
    expect(names(await expectJson(call('GET', '/v1/searches')))).toContainEqual(['of an earlier version', 'waiting'])
    expect(JSON.parse((await told()) ?? 'null')).toMatchObject({ searchId: search.searchId, phase: 'waiting' })
  })

  it('says that a search is stalled once nobody has been heard of, and that it goes on with the next lease', async () => {
    const search = await createTestSearch({ name: 'left alone' })
    const stub = env.SEARCH.getByName(search.searchId)
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseTask(search, agentId))
    const phase = async () => names(await expectJson(call('GET', '/v1/searches'))).find(([name]) => name === 'left alone')?.[1]
    expect(await phase()).toBe('warmup')
    const alarmAtMs = await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())
    expect(alarmAtMs).not.toBeNull()
    await runInDurableObject(stub, (_, { storage }) => {
      const seen = Date.now() - 3_600_000
      storage.sql.exec("UPDATE agents SET json = json_set(json, '$.lastSeenAtMs', ?)", seen)
    })
    await evictDurableObject(stub)
    expect(await runDurableObjectAlarm(stub)).toBe(true)
    expect(await phase()).toBe('stalled')
    await leaseTask(search, agentId)
    expect(await phase()).toBe('warmup')
  })

  it('that cannot be told is told by the alarm', async () => {
    const search = await createTestSearch({ name: 'told later' })
    const stub = env.SEARCH.getByName(search.searchId)
    const phase = async () => names(await expectJson(call('GET', '/v1/searches'))).find(([name]) => name === 'told later')?.[1]
    await runInDurableObject(stub, async (instance: unknown) => {
      const held = instance as { env: object; command(caller: object, command: string): Promise<unknown> }
      const whole = held.env
      held.env = { ...whole, DIRECTORY: { getByName: () => ({ describe: () => Promise.reject(new Error('unreachable')) }) } }
      await held.command({ kind: 'admin' }, 'pause')
      held.env = whole
    })
    expect(await phase()).toBe('waiting')
    expect(await runDurableObjectAlarm(stub)).toBe(true)
    expect(await phase()).toBe('paused')
  })
})

describe('GET /metrics', () => {
  it('has figures of searches for Prometheus, behind the admin token', async () => {
    const search = await createTestSearch({ name: 'with "quotes"' })
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseTask(search, agentId))
    await leaseTask(search, agentId)
    const upgrade = { token: search.agentToken, headers: { Upgrade: 'websocket' } }
    const { webSocket } = await call('GET', `${search.path}/wake-ups?agentId=${agentId}`, upgrade)
    webSocket?.accept()
    const response = await call('GET', '/metrics')
    expect(response.headers.get('Content-Type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await response.text()
    const lines = text.trimEnd().split('\n')
    for (const line of lines)
      expect(line).toMatch(/^(# (HELP|TYPE) gatehouse_\w+ .+|gatehouse_\w+(\{(\w+="([^"\\]|\\.)*",?)*\})? [-+\de.]+)$/)
    const labels = `search="${search.searchId}",name="with \\"quotes\\""`
    for (const expected of [
      `gatehouse_search_tasks_total{${labels},outcome="done"} 1`,
      `gatehouse_search_tasks_waiting{${labels},state="leased"} 1`,
      `gatehouse_search_agents_present{${labels}} 1`,
      `gatehouse_search_sockets{${labels},of="agents"} 1`,
      `gatehouse_search_sockets{${labels},of="pages"} 0`,
      '# TYPE gatehouse_search_tasks_total counter',
    ])
      expect(lines).toContain(expected)
    expect(text).toMatch(/^gatehouse_searches\{phase="warmup"\} \d+$/m)
    await expectProblem(call('GET', '/metrics', { token: search.agentToken }), 403)
    await expectProblem(call('GET', '/metrics', { token: null }), 401)
  })
})

describe('alpha', () => {
  it('can be rebuilt without an agent: its results are marked in the log, and the search goes on', async () => {
    const search = await createTestSearch({ steps: 24 })
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseUntil(search, agentId, 'gateGradients'))
    const before = distributionOf(await readStatus(search))
    expect(before.alphaVersion).toBe(1)
    const rebuilt = await expectJson(call('POST', `${search.path}/rebuild-alpha`, { json: { agentId } }))
    expect(rebuilt).toMatchObject({ alphaVersion: 0 })
    await evictDurableObject(env.SEARCH.getByName(search.searchId))
    const after = distributionOf(await readStatus(search))
    expect([after.alphaVersion, after.weightSteps]).toEqual([0, before.weightSteps])
    expect(after.alpha).not.toEqual(before.alpha)
    const marked = (await readLog(search)).filter((entry) => entry.excluded)
    expect(marked.length).toBe((rebuilt as { excluded: number }).excluded)
    expect(marked.map(({ work }) => work.kind)).toContain('gateGradients')
    await finishSearch(search, agentId)
    expect((await expectProblem(call('POST', `${search.path}/rebuild-alpha`, { json: {} }), 400)).errors).toHaveLength(1)
    await expectProblem(call('POST', `${search.path}/rebuild-alpha`, { token: search.agentToken, json: { agentId } }), 403)
  })
})
