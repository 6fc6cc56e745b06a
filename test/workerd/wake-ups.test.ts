// Sockets for wake-ups: who may open one, what it is told, and that objects hibernate under it.

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import {
  BEARER_PROTOCOL_PREFIX,
  closeCodes,
  createTrainingResponseSchema,
  PING,
  PONG,
  SILENT_MS,
  STATUS_EVERY_MS,
  WAKE_UPS_PROTOCOL,
  wakeUpSchema,
} from '../../protocol/index.ts'
import { toBase64Url } from '../../coordinator/routes/signatures.ts'
import { AGENT_A, AGENT_B, makeLeaseRequest, makeTrainingInput, makeTrainingSpec } from '../fixtures/trainings.ts'
import {
  ADMIN_TOKEN,
  call,
  createTestSearch,
  expectJson,
  expectProblem,
  finishSearch,
  leaseTask,
  readStatus,
  registerTestAgent,
  searchObject,
  submitTask,
  type TestSearch,
} from './api.ts'

const DEADLINE_MS = 5000

type Listener = {
  readonly socket: WebSocket
  readonly heard: string[]
  closed: { code: number; reason: string } | null
  /** The first messages, once there are so many. */
  first(count: number): Promise<string[]>
  end(): Promise<{ code: number; reason: string }>
}

function listen(socket: WebSocket): Listener {
  const heard: string[] = []
  const changes = new EventTarget()
  const listener: Listener = {
    socket,
    heard,
    closed: null,
    async first(count) {
      await until(() => heard.length >= count)
      return heard.slice(0, count)
    },
    async end() {
      await until(() => listener.closed !== null)
      return listener.closed as { code: number; reason: string }
    },
  }
  const until = async (condition: () => boolean) => {
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    while (!condition()) {
      await new Promise((resolve, reject) => {
        changes.addEventListener('change', resolve, { once: true })
        deadline.addEventListener('abort', () => reject(new Error(`heard only ${JSON.stringify(heard)}`)), { once: true })
      })
    }
  }
  const note = () => changes.dispatchEvent(new Event('change'))
  socket.addEventListener('message', ({ data }) => {
    heard.push(data === PONG ? PONG : wakeUpSchema.parse(JSON.parse(data as string)).kind)
    note()
  })
  socket.addEventListener('close', ({ code, reason }) => {
    listener.closed = { code, reason }
    note()
  })
  socket.accept()
  return listener
}

const upgrade = { Upgrade: 'websocket' }

/** Of an agent that waits, or without one, of who looks at the status. */
async function open(
  search: Pick<TestSearch, 'path' | 'agentToken'>,
  { agentId, token = search.agentToken }: { agentId?: string; token?: string } = {},
): Promise<Listener> {
  const query = agentId === undefined ? '' : `?agentId=${agentId}`
  const response = await call('GET', `${search.path}/wake-ups${query}`, { token, headers: upgrade })
  expect(response.status).toBe(101)
  expect(response.headers.get('X-Request-Id')).not.toBeNull()
  return listen(response.webSocket as WebSocket)
}

const command = (search: TestSearch, name: string) => expectJson(call('POST', `${search.path}/${name}`))

/** What a socket has heard once everything before is sure to have been told. */
async function heardBy(listener: Listener): Promise<string[]> {
  listener.socket.send(PING)
  const before = listener.heard.length
  while (!listener.heard.slice(before).includes(PONG)) await listener.first(listener.heard.length + 1)
  return listener.heard.filter((kind) => kind !== PONG)
}

describe('a socket for wake-ups', () => {
  it('tells agents that wait when the search goes on, and its object hibernates meanwhile', async () => {
    const search = await createTestSearch()
    const agents = [await registerTestAgent(search, 'one'), await registerTestAgent(search, 'two')]
    await command(search, 'pause')
    const listeners = await Promise.all(agents.map((agentId) => open(search, { agentId })))
    expect((await readStatus(search)).sockets).toEqual({ agents: 2, pages: 0 })
    await evictDurableObject(searchObject(search), { webSockets: 'hibernate' })
    for (const listener of listeners) expect(await heardBy(listener)).toEqual([])
    await command(search, 'resume')
    for (const listener of listeners) expect(await heardBy(listener)).toEqual(['work'])
    await command(search, 'stop')
    for (const listener of listeners) expect(await heardBy(listener)).toEqual(['work', 'work'])
  })

  it('wakes one agent where a lease comes back, who wakes the next if it gets a task', async () => {
    const search = await createTestSearch({ tasks: { maxOutstanding: 2 } })
    const [busy, first, second] = [await registerTestAgent(search), await registerTestAgent(search), await registerTestAgent(search)]
    const tasks = [await leaseTask(search, busy), await leaseTask(search, busy)]
    const listeners = [await open(search, { agentId: first }), await open(search, { agentId: second })] as const
    for (const { taskId, leaseId } of tasks)
      await expectJson(
        call('POST', `${search.path}/release`, { token: search.agentToken, json: { agentId: busy, taskId, leaseId, reason: 'stopping' } }),
      )
    expect(await heardBy(listeners[0])).toEqual(['work'])
    expect(await heardBy(listeners[1])).toEqual(['work'])
    // One that did not wait has no part in it.
    await leaseTask(search, busy)
    expect(await heardBy(listeners[1])).toEqual(['work'])
    const agents = async () => (await readStatus(search)).sockets?.agents
    expect(await agents()).toBe(2)
    const task = await leaseTask(search, first)
    expect(await agents()).toBe(1)
    expect([await heardBy(listeners[0]), await heardBy(listeners[1])]).toEqual([['work'], ['work', 'work']])
    listeners[0].socket.close(1000)
    await submitTask(search, first, task)
    // Of the result, and of the phase that begins with the first one.
    expect(await heardBy(listeners[1])).toEqual(['work', 'work', 'work', 'work'])
  })

  it('wakes one agent of each token, so that agents which do not ask keep nobody else waiting', async () => {
    const search = await createTestSearch()
    const issued = call('POST', `${search.path}/tokens`, { json: { label: 'another' } })
    const { agentToken: otherToken } = (await expectJson(issued, 201)) as { agentToken: string }
    const other = { ...search, agentToken: otherToken }
    const [gone, own, another] = [await registerTestAgent(search), await registerTestAgent(search), await registerTestAgent(other)]
    await leaseTask(search, gone)
    const listeners = [await open(search, { agentId: own }), await open(other, { agentId: another })]
    await runDurableObjectAlarm(searchObject(search))
    for (const listener of listeners) expect(await heardBy(listener)).toEqual(['work'])
  })

  it('is refused where too many are open, of a token first', async () => {
    const search = await createTestSearch()
    const kept: WebSocket[] = []
    const fill = (count: number, tokenId: string | null) =>
      runInDurableObject(searchObject(search), (_, state) => {
        for (let i = 0; i < count; i++) {
          const { 0: client, 1: socket } = new WebSocketPair()
          // One that nobody holds is closed.
          kept.push(client)
          state.acceptWebSocket(socket)
          socket.serializeAttachment({ tokenId, agentId: null, waits: false, openedAtMs: Date.now(), wokenAtMs: 0 })
        }
      })
    await fill(500, search.tokenId)
    await expectProblem(call('GET', `${search.path}/wake-ups`, { token: search.agentToken, headers: upgrade }), 503, 'overloaded')
    await open(search, { token: ADMIN_TOKEN })
    await fill(499, null)
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 1000 })
    await expectProblem(call('GET', `${search.path}/wake-ups`, { headers: upgrade }), 503, 'overloaded')
    expect(kept).toHaveLength(999)
  })

  it('wakes an agent where a lease has ended', async () => {
    const search = await createTestSearch()
    const [gone, waits] = [await registerTestAgent(search), await registerTestAgent(search)]
    await leaseTask(search, gone)
    const listener = await open(search, { agentId: waits })
    expect(await heardBy(listener)).toEqual([])
    await runDurableObjectAlarm(searchObject(search))
    expect(await heardBy(listener)).toEqual(['work'])
  })

  it('tells pages of changes, at most once in a while', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const page = await open(search, { token: ADMIN_TOKEN })
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 1 })
    const startedAtMs = Date.now()
    await finishSearch(search, agentId)
    const told = await heardBy(page)
    expect(told[0]).toBe('status')
    expect(told.length).toBeLessThanOrEqual(1 + Math.ceil((Date.now() - startedAtMs) / STATUS_EVERY_MS))
    expect(new Set(told)).toEqual(new Set(['status']))
  })

  it('is for those who may see the search; the token may come as a subprotocol', async () => {
    const [search, other] = [await createTestSearch(), await createTestSearch()]
    const agentId = await registerTestAgent(search)
    const path = `${search.path}/wake-ups`
    await expectProblem(call('GET', path, { token: null, headers: upgrade }), 401)
    await expectProblem(call('GET', path, { token: other.agentToken, headers: upgrade }), 403)
    await expectProblem(call('GET', `${path}?agentId=a00000000none`, { token: search.agentToken, headers: upgrade }), 404)
    await expectProblem(call('GET', `${path}?agentId=nobody`, { token: search.agentToken, headers: upgrade }), 400)
    expect((await expectProblem(call('GET', path, { token: search.agentToken }), 400)).errors).toMatchObject([{ path: 'upgrade' }])
    const { agentToken } = (await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'another' } }), 201)) as {
      agentToken: string
    }
    await expectProblem(call('GET', `${path}?agentId=${agentId}`, { token: agentToken, headers: upgrade }), 403)
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 0 })

    const asked = (token: string) =>
      exports.default.fetch(
        new Request(`http://gatehouse${path}`, {
          headers: {
            ...upgrade,
            'Sec-WebSocket-Protocol': `${WAKE_UPS_PROTOCOL}, ${BEARER_PROTOCOL_PREFIX}${toBase64Url(new TextEncoder().encode(token))}`,
          },
        }),
      )
    await expectProblem(await asked('admin-token-of-somebody-else-0123456789'), 401)
    const answer = await asked(ADMIN_TOKEN)
    expect([answer.status, answer.headers.get('Sec-WebSocket-Protocol')]).toEqual([101, WAKE_UPS_PROTOCOL])
    answer.webSocket?.accept()
    answer.webSocket?.close()
  })

  it('is closed by whatever it sends but pings', async () => {
    const search = await createTestSearch()
    for (const sent of ['hello', '', 'x'.repeat(1_000_000), new Uint8Array(8)]) {
      const listener = await open(search)
      listener.socket.send(sent)
      expect((await listener.end()).code).toBe(closeCodes.unexpected)
    }
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 0 })
  })

  it('is closed when its token is revoked, when the agent opens another, and when the search is deleted', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const [page, first] = [await open(search, { token: ADMIN_TOKEN }), await open(search, { agentId })]
    const second = await open(search, { agentId })
    expect((await first.end()).code).toBe(closeCodes.replaced)
    expect((await readStatus(search)).sockets).toEqual({ agents: 1, pages: 1 })
    expect((await call('DELETE', `${search.path}/tokens/${search.tokenId}`)).status).toBe(204)
    expect((await second.end()).code).toBe(closeCodes.revoked)
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 1 })
    expect((await call('DELETE', search.path)).status).toBe(204)
    expect((await page.end()).code).toBe(closeCodes.gone)
  })

  it('is closed when nothing was heard of it for long', async () => {
    const search = await createTestSearch()
    const listener = await open(search)
    await runInDurableObject(searchObject(search), (_, state) => {
      for (const socket of state.getWebSockets())
        socket.serializeAttachment({ ...(socket.deserializeAttachment() as object), openedAtMs: Date.now() - SILENT_MS })
    })
    expect((await readStatus(search)).sockets).toEqual({ agents: 0, pages: 0 })
    expect((await listener.end()).code).toBe(closeCodes.gone)
  })

  it('of a training tells those that wait when it may be had, or has ended, and those who look at it of its progress', async () => {
    const options = { leaseMs: 60_000 }
    const training = createTrainingResponseSchema.parse(
      await expectJson(call('POST', '/v1/trainings', { json: makeTrainingInput(options) }), 201),
    )
    const path = `/v1/trainings/${training.trainingId}`
    const token = training.agentToken
    const post = (place: string, json: unknown) => expectJson(call('POST', `${path}/${place}`, { token, json }))
    const lease = (agentId: string) => post('lease', makeLeaseRequest(makeTrainingSpec(options), agentId)) as Promise<{ leaseId: string }>
    const { leaseId } = await lease(AGENT_A)
    expect(await lease(AGENT_B)).toMatchObject({ kind: 'wait', reason: 'taken' })
    const [waits, page] = [await open({ path, agentToken: token }, { agentId: AGENT_B }), await open({ path, agentToken: token })]
    await post('heartbeat', { leaseId })
    expect([await heardBy(waits), await heardBy(page)]).toEqual([[], ['status']])
    await post('release', { leaseId })
    expect(await heardBy(waits)).toEqual(['work'])
    await lease(AGENT_B)
    await runDurableObjectAlarm(env.TRAINING.getByName(training.trainingId))
    expect(await heardBy(waits)).toEqual(['work', 'work'])
    await expectJson(call('POST', `${path}/stop`))
    expect(await heardBy(waits)).toEqual(['work', 'work', 'work'])
    expect((await call('DELETE', `${path}/tokens/${training.tokenId}`)).status).toBe(204)
    for (const listener of [waits, page]) expect((await listener.end()).code).toBe(closeCodes.revoked)
  })
})
