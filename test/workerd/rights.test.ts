// Nothing expensive happens before a token is verified: bodies stay where they are, and objects are not called.

import { env, exports } from 'cloudflare:workers'
import { runInDurableObject } from 'cloudflare:test'
import { beforeAll, describe, expect, it } from 'vitest'
import worker from '../../coordinator/index.ts'
import type { Environment } from '../../coordinator/objects/environment.ts'
import { openProfileResponseSchema, printAgentToken } from '../../protocol/index.ts'
import { makeRegistration } from '../fixtures/searches.ts'
import { ADMIN_TOKEN, call, createTestSearch, expectJson, expectProblem, searchObject, shardObject, type TestSearch } from './api.ts'

const MIB = 1024 * 1024
/** What a stream's queues may take of a body that nobody reads. */
const UNREAD_BYTES = MIB

let search: TestSearch
beforeAll(async () => {
  search = await createTestSearch()
})

/** A body that counts what is taken of it. */
function countedBody(totalBytes: number) {
  const counted = { bytes: 0 }
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (counted.bytes >= totalBytes) return controller.close()
      counted.bytes += MIB / 4
      controller.enqueue(new Uint8Array(MIB / 4).fill(0x20))
    },
  })
  return { counted, stream }
}

const forged = ({ agentToken }: TestSearch) => `${agentToken.slice(0, -43)}${'A'.repeat(43)}`
/** The Worker with other bindings than those of the tests. */
const fetchWith = (bindings: Partial<Environment>, path: string, token: string, init: RequestInit = {}) =>
  worker.fetch(
    new Request(`http://gatehouse${path}`, { ...init, headers: { Authorization: `Bearer ${token}`, ...init.headers } }),
    { ...(env as Environment), ...bindings },
    { waitUntil: () => undefined, passThroughOnException: () => undefined } as unknown as ExecutionContext,
  )

describe('a token that is not good', () => {
  const paths = {
    'a push': ['POST', () => `${search.path}/weights/0/push?agentId=a000000000000&taskId=1`, 'application/octet-stream'],
    'a pull': ['POST', () => `${search.path}/weights/0/pull`, 'application/json'],
    'a result': ['POST', () => `${search.path}/results`, 'application/json'],
    'a configuration of a search': ['POST', () => '/v1/searches', 'application/json'],
  } as const

  it.each(Object.keys(paths) as (keyof typeof paths)[])('is refused before %s is read', async (name) => {
    const [method, path, type] = paths[name]
    const { counted, stream } = countedBody(29 * MIB)
    await expectProblem(call(method, path(), { token: forged(search), body: stream, type }), 401, 'unauthorized')
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })

  it('is refused before a body is read that only the administrator may send', async () => {
    const { counted, stream } = countedBody(3 * MIB)
    await expectProblem(
      call('POST', '/v1/searches', { token: search.agentToken, body: stream, type: 'application/json' }),
      403,
      'forbidden',
    )
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })

  it('reaches no shard', async () => {
    const other = await createTestSearch()
    // A shard that nobody may open answers everything with an error, which would be 500 here.
    await runInDurableObject(shardObject(other, 0), (_, state) => void state.storage.sql.exec('DROP TABLE tokens'))
    await expectProblem(call('POST', `${other.path}/weights/0/pull`, { token: forged(other), json: { held: {} } }), 401, 'unauthorized')
  })

  it('is too long to be one', async () => {
    await expectProblem(call('GET', search.path, { token: 'x'.repeat(5000) }), 401, 'unauthorized')
  })
})

describe('bodies', () => {
  it('of another type are not read', async () => {
    const { counted, stream } = countedBody(3 * MIB)
    const refused = call('POST', `${search.path}/lease`, { token: search.agentToken, body: stream, type: 'text/plain' })
    await expectProblem(refused, 415, 'unsupported-media-type')
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })

  it('end where a request needs no more', async () => {
    const { counted, stream } = countedBody(3 * MIB)
    await expectProblem(
      call('POST', `${search.path}/lease`, { token: search.agentToken, body: stream, type: 'application/json' }),
      413,
      'too-large',
    )
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })
})

describe('a token of an earlier version', () => {
  it('goes on working until it is revoked', async () => {
    const other = await createTestSearch()
    const token = printAgentToken(other.searchId, 't0123456789ab', 'r'.repeat(43))
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(token)))
    await searchObject(other).addToken({ tokenId: 't0123456789ab', label: 'old', createdAtMs: 1, hash })
    const register = () => call('POST', `${other.path}/agents`, { token, json: makeRegistration(other.space) })
    await expectJson(register(), 201)
    await expectJson(call('POST', `${other.path}/weights/0/pull`, { token, json: { held: {} } }).then(() => new Response('{}')))
    expect((await call('DELETE', `${other.path}/tokens/t0123456789ab`)).status).toBe(204)
    await expectProblem(register(), 401, 'unauthorized')
  })

  it('is checked before a body is read', async () => {
    const { counted, stream } = countedBody(29 * MIB)
    const token = printAgentToken(search.searchId, search.tokenId, 'r'.repeat(43))
    const path = `${search.path}/weights/0/push?agentId=a000000000000&taskId=1`
    await expectProblem(call('POST', path, { token, body: stream, type: 'application/octet-stream' }), 401, 'unauthorized')
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })
})

describe('the token of a profile', () => {
  it('is signed, and another one each time', async () => {
    const profile = (await expectJson(call('POST', '/v1/profiles', { json: { space: 'fashion-mini', name: 'phone' } }), 201)) as {
      code: string
      profileId: string
    }
    const open = async () =>
      openProfileResponseSchema.parse(await expectJson(call('POST', '/v1/profile-sessions', { token: profile.code }), 201)).token
    const [first, second] = [await open(), await open()]
    expect(first).not.toBe(second)
    await expectProblem(call('GET', `/v1/profiles/${profile.profileId}`, { token: first }), 401, 'unauthorized')
    expect((await call('GET', `/v1/profiles/${profile.profileId}`, { token: second })).status).toBe(200)
    const { counted, stream } = countedBody(3 * MIB)
    const token = `${second.slice(0, -1)}${second.endsWith('A') ? 'E' : 'A'}`
    await expectProblem(
      call('POST', `/v1/profiles/${profile.profileId}/batches`, { token, body: stream, type: 'application/json' }),
      401,
      'unauthorized',
    )
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
  })
})

describe('the admin token', () => {
  it('is not taken if it is short, and the answer says so to who knows it', async () => {
    const short = 'thirty-one-characters-0123456789'.slice(0, 31)
    const problem = await expectProblem(fetchWith({ ADMIN_TOKEN: short }, '/v1/searches', short), 401, 'unauthorized')
    expect(problem.detail).toMatch(/31 characters.*at least 32/)
    const other = await expectProblem(fetchWith({ ADMIN_TOKEN: short }, '/v1/searches', `${short}x`), 401, 'unauthorized')
    expect(other.detail).not.toMatch(/31/)
  })

  it('may be replaced while the one before it is good', async () => {
    const next = 'the-next-admin-token-0123456789abcdef'
    const bindings = { ADMIN_TOKEN: next, ADMIN_TOKEN_PREVIOUS: ADMIN_TOKEN }
    expect((await fetchWith(bindings, '/v1/searches', next)).status).toBe(200)
    expect((await fetchWith(bindings, '/v1/searches', ADMIN_TOKEN)).status).toBe(200)
    await expectProblem(fetchWith({ ADMIN_TOKEN: next }, '/v1/searches', ADMIN_TOKEN), 401, 'unauthorized')
  })
})

describe('who is refused too often', () => {
  /** Cloudflare's binding, with a count that never starts again. */
  const limited = (limit: number): RateLimit => {
    const counts = new Map<string, number>()
    return {
      async limit({ key }) {
        const count = (counts.get(key) ?? 0) + 1
        counts.set(key, count)
        return { success: count <= limit }
      },
    }
  }
  const from = (address: string) => ({ headers: { 'CF-Connecting-IP': address } })

  it('is turned away, and nobody else is', async () => {
    const bindings = { REFUSALS: limited(3) }
    const send = (token: string, address: string) => fetchWith(bindings, search.path, token, from(address))
    for (let i = 0; i < 3; i++) await expectProblem(send(forged(search), '2001:db8:1:2::1'), 401, 'unauthorized')
    const problem = await expectProblem(send(forged(search), '2001:db8:1:2:3::4'), 429, 'too-many-refusals')
    expect(problem.detail).not.toBe('')
    // From now on without a look at the token, but for those that are signed, of whom nobody was refused.
    const turnedAway = await send('no token at all', '2001:db8:1:2::1')
    expect([turnedAway.status, turnedAway.headers.get('Retry-After')]).toEqual([429, '10'])
    expect((await send(search.agentToken, '2001:db8:1:2::1')).status).toBe(200)
    await expectProblem(send(forged(search), '2001:db8:1:3::1'), 401, 'unauthorized')
  })

  it('is an agent by its token, before its bodies are read', async () => {
    const other = await createTestSearch()
    const bindings = { REFUSALS: limited(2) }
    const send = (path: string, body: BodyInit, type = 'application/json') =>
      fetchWith(bindings, path, other.agentToken, { method: 'POST', body, headers: { 'Content-Type': type } })
    for (let i = 0; i < 2; i++) await expectProblem(send(`${other.path}/lease`, '{}'), 400, 'invalid-request')
    await expectProblem(send(`${other.path}/lease`, '{}'), 429, 'too-many-refusals')
    const { counted, stream } = countedBody(29 * MIB)
    const path = `${other.path}/weights/0/push?agentId=a000000000000&taskId=1`
    await expectProblem(send(path, stream, 'application/octet-stream'), 429, 'too-many-refusals')
    expect(counted.bytes).toBeLessThanOrEqual(UNREAD_BYTES)
    expect((await fetchWith(bindings, other.path, ADMIN_TOKEN)).status).toBe(200)
  })

  it('is counted by the binding of wrangler.toml', async () => {
    expect(await (env as Environment).REFUSALS?.limit({ key: 'anybody' })).toEqual({ success: true })
    expect(exports.default).toBeDefined()
  })
})
