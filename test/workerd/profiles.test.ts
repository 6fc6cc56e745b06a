// Profiles in browsers over HTTP: who may send timings, what becomes of them, and what is refused.

import { abortAllDurableObjects, runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it, vi } from 'vitest'
import {
  createProfileResponseSchema,
  openProfileResponseSchema,
  PROFILE_CODE_MS,
  PROFILE_KEPT_MS,
  PROFILE_SESSION_MS,
  type ProfileRequestInput,
  profileStatusSchema,
} from '../../protocol/index.ts'
import { coverSpace } from '../../latency-lut/table/coverage.ts'
import { latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace } from '../../search-space/index.ts'
import { makeConfigInput, makeSpaceRef } from '../fixtures/searches.ts'
import { call, createTestSearch, expectJson, expectProblem } from './api.ts'

const space = createSpace(makeSpaceRef())
const keys = space.measurableOperations().map(({ latencyKey }) => latencyKey)

let profiles = 0

async function createProfile(changes: Partial<ProfileRequestInput> = {}) {
  profiles += 1
  const request = { space: makeSpaceRef(), name: `phone-${profiles}`, ...changes }
  return createProfileResponseSchema.strict().parse(await expectJson(call('POST', '/v1/profiles', { json: request }), 201))
}

const openCode = async (code: string) =>
  openProfileResponseSchema.strict().parse(await expectJson(call('POST', '/v1/profile-sessions', { token: code }), 201))

async function openProfile(changes: Partial<ProfileRequestInput> = {}) {
  const { code, url } = await createProfile(changes)
  const { profileId, token, status } = await openCode(code)
  const path = `/v1/profiles/${profileId}`
  return { code, url, profileId, token, status, path }
}
type Opened = Awaited<ReturnType<typeof openProfile>>

const conditions = {
  device: 'Test phone',
  os: 'Android 15',
  browser: 'Chrome 141.0',
  runtimeVersion: '4.22.0',
  threads: 1,
  clockStepMs: 0.005,
  throttled: false,
}
const rounds = (count: number, ms: (key: number, round: number) => number = (key) => key + 1) =>
  Array.from({ length: count }, (_, round) => keys.map((_, key) => ms(key, round)))
const makeBatch = (changes: object = {}) => ({ backend: 'wasm', batch: 0, spentMs: 100, conditions, rounds: rounds(6), ...changes })
const send = (profile: Opened, changes: object = {}) =>
  call('POST', `${profile.path}/batches`, { token: profile.token, json: makeBatch(changes) })
const finish = (profile: Opened) => call('POST', `${profile.path}/finish`, { token: profile.token })
const readStatus = async (profile: Opened) =>
  profileStatusSchema.strict().parse(await expectJson(call('GET', profile.path, { token: profile.token })))

/** As if so much time had passed, also for the alarm. */
async function later(passedMs: number, body: () => Promise<void>): Promise<void> {
  const now = Date.now()
  vi.spyOn(Date, 'now').mockReturnValue(now + passedMs)
  try {
    await body()
  } finally {
    vi.restoreAllMocks()
  }
}

describe('a code', () => {
  it('opens its profile, and is found in the link, which leads to the page', async () => {
    const created = await createProfile()
    expect(created.code).toMatch(/^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$/)
    expect(new URL(created.url).pathname).toBe(`/profile/${created.code}`)
    const page = await call('GET', `/profile/${created.code.toLowerCase()}`, { token: null })
    expect([page.status, page.headers.get('Location')]).toEqual([302, `/profile/#${created.code}`])
    const opened = await openCode(created.code)
    expect(opened.profileId).toBe(created.profileId)
    expect(opened.status).toMatchObject({ phase: 'open', space: space.name, keys: keys.length, backends: [], tables: [] })
  })

  it('may be typed in small letters, with O for 0 and I for 1', async () => {
    const { code, profileId } = await createProfile()
    const typed = code.toLowerCase().replaceAll('0', 'o').replaceAll('1', 'i').replace('-', '')
    expect((await openCode(typed)).profileId).toBe(profileId)
  })

  it('that is wrong is refused, and says no more than that', async () => {
    const problem = await expectProblem(call('POST', '/v1/profile-sessions', { token: 'AAAAA-AAAAA' }), 401, 'unauthorized')
    expect(problem.detail).toContain('wrong, used, or')
    await expectProblem(call('POST', '/v1/profile-sessions', { token: 'no-code' }), 401)
    await expectProblem(call('POST', '/v1/profile-sessions'), 403)
  })

  it('is good for nothing else', async () => {
    const { code, profileId } = await createProfile()
    const search = await createTestSearch()
    for (const path of ['/v1/searches', '/v1/profiles', '/v1/latency-tables', `/v1/profiles/${profileId}`, search.path]) {
      await expectProblem(call('GET', path, { token: code }), 401, 'unauthorized')
    }
    await expectProblem(call('POST', `${search.path}/lease`, { token: code, json: { agentId: 'a000000000000' } }), 401)
  })

  it('may be shown again until timings are stored, and the browser that showed it last goes on', async () => {
    const first = await openProfile()
    const second = { ...first, token: (await openCode(first.code)).token }
    await expectProblem(send(first), 401, 'unauthorized')
    await expectJson(send(second))
    await expectProblem(call('POST', '/v1/profile-sessions', { token: first.code }), 401)
    await expectJson(send(second, { batch: 1 }))
  })

  it('expires after half an hour, and what it was for is gone', async () => {
    const { code, profileId } = await createProfile()
    await later(PROFILE_CODE_MS - 1000, async () => {
      expect(await runDurableObjectAlarm(env.PROFILE.getByName(profileId))).toBe(true)
      await expectJson(call('GET', `/v1/profiles/${profileId}`))
    })
    await later(PROFILE_CODE_MS + 1000, async () => {
      await expectProblem(call('POST', '/v1/profile-sessions', { token: code }), 401)
      await expectProblem(call('GET', `/v1/profiles/${profileId}`), 404)
      expect(await runDurableObjectAlarm(env.PROFILE.getByName(profileId))).toBe(true)
    })
    expect(await env.DIRECTORY.getByName('profiles').list(Number.MAX_SAFE_INTEGER, 40)).not.toContain(profileId)
    await expectProblem(call('GET', `/v1/profiles/${profileId}`), 404)
  })
})

describe('a session', () => {
  it("ends after hours; its token is good for its own profile only, and not for the administrator's work", async () => {
    const profile = await openProfile()
    const other = await openProfile()
    await expectProblem(call('GET', other.path, { token: profile.token }), 403, 'forbidden')
    await expectProblem(call('GET', '/v1/profiles', { token: profile.token }), 403)
    await expectProblem(call('DELETE', profile.path, { token: profile.token }), 403)
    await expectProblem(call('GET', '/v1/searches', { token: profile.token }), 403)
    await expectProblem(call('POST', '/v1/profiles', { token: profile.token, json: {} }), 403)
    await expectProblem(call('GET', profile.path, { token: `${profile.token.slice(0, -43)}${'A'.repeat(43)}` }), 401)
    await later(PROFILE_SESSION_MS + 1000, async () => {
      await expectProblem(send(profile), 404)
    })
  })

  it('goes on where it was after a reload and after the object was lost: all timings are there', async () => {
    const profile = await openProfile()
    await expectJson(send(profile, { rounds: rounds(3), spentMs: 40 }))
    await expectJson(send(profile, { batch: 1, rounds: rounds(2, (key) => key + 7), spentMs: 2 }))
    await abortAllDurableObjects()
    const status = await readStatus(profile)
    expect(status.phase).toBe('measuring')
    expect(status.backends).toEqual([
      { backend: 'wasm', rounds: 5, nextBatch: 2, spentMs: 42, lastAtMs: expect.any(Number) as number, conditions },
    ])
    expect(await expectJson(call('GET', `${profile.path}/rounds/wasm`, { token: profile.token }))).toEqual({
      rounds: [...rounds(3), ...rounds(2, (key) => key + 7)],
    })
    expect(await expectJson(call('GET', `${profile.path}/rounds/webgl`, { token: profile.token }))).toEqual({ rounds: [] })
  })
})

describe('a batch', () => {
  it('that is sent twice counts once', async () => {
    const profile = await openProfile()
    expect(await expectJson(send(profile))).toEqual({ kind: 'stored', rounds: 6 })
    expect(await expectJson(send(profile, { rounds: rounds(1, () => 99) }))).toEqual({ kind: 'duplicate', rounds: 6 })
    expect((await readStatus(profile)).backends[0]?.rounds).toBe(6)
    // Also when the first answer was lost and the tables are made.
    await expectJson(finish(profile))
    expect(await expectJson(send(profile))).toEqual({ kind: 'duplicate', rounds: 6 })
    await expectProblem(send(profile, { batch: 1 }), 409, 'conflict')
  })

  const withTiming = (value: unknown) => ({ rounds: [keys.map((_, key) => (key === 2 ? value : 1))] })
  it.each([
    ['a timing that is not a number', withTiming(Number.NaN), 400, 'rounds[0][2]'],
    ['a negative timing', withTiming(-1), 400, 'rounds[0][2]'],
    ['a timing of zero', withTiming(0), 400, 'rounds[0][2]'],
    ['a timing of days', withTiming(1e9), 400, 'rounds[0][2]'],
    ['a timing in words', withTiming('1'), 400, 'rounds[0][2]'],
    ['a round that lacks an operation', { rounds: [...rounds(1), keys.slice(1).map(() => 1)] }, 422, 'rounds[1]'],
    ['a round with one operation more', { rounds: [[...keys, 'x'].map(() => 1)] }, 422, 'rounds[0]'],
    ['no rounds', { rounds: [] }, 400, 'rounds'],
    ['more timings than fit', { rounds: rounds(Math.ceil(20_001 / keys.length)) }, 400, 'rounds'],
    ['an unknown backend', { backend: 'cuda' }, 400, 'backend'],
    ['a batch number below 0', { batch: -1 }, 400, 'batch'],
    ['a browser without a name', { conditions: { ...conditions, browser: '' } }, 400, 'conditions.browser'],
    ['an unknown field', { colour: 'red' }, 400, 'colour'],
  ])('is refused, the field named, and not stored: %s', async (_, changes, status, path) => {
    const profile = await openProfile()
    const problem = await expectProblem(send(profile, changes), status)
    expect(problem.errors.map((error) => error.path)).toContain(path)
    expect((await readStatus(profile)).backends).toEqual([])
  })

  it('with an infinite timing, or that is no JSON, is refused', async () => {
    const profile = await openProfile()
    const infinite = JSON.stringify(makeBatch(withTiming(12345))).replace('12345', '1e999')
    for (const body of [infinite, '{"backend":', '[]', 'null']) {
      await expectProblem(call('POST', `${profile.path}/batches`, { token: profile.token, body, type: 'application/json' }), 400)
    }
    expect((await readStatus(profile)).backends).toEqual([])
  })

  it('of a backend that was not asked for is refused; "auto" is for one', async () => {
    const named = await openProfile({ backends: ['webgl', 'wasm'] })
    expect((await expectProblem(send(named, { backend: 'webgpu' }), 409)).errors[0]?.path).toBe('backend')
    const auto = await openProfile()
    await expectJson(send(auto, { backend: 'webgl' }))
    expect((await expectProblem(send(auto), 409)).errors[0]?.path).toBe('backend')
  })

  it('beyond what one table can be made of is refused', async () => {
    const profile = await openProfile()
    const perBatch = Math.floor(20_000 / keys.length)
    let last = await send(profile, { rounds: rounds(perBatch) })
    for (let batch = 1; last.status === 200 && batch < 20; batch++) last = await send(profile, { batch, rounds: rounds(perBatch) })
    expect((await expectProblem(last, 409)).errors[0]?.path).toBe('rounds')
  })
})

describe('a request for a profile', () => {
  it.each([
    ['a space that is none', { space: 'nowhere' }, 'space'],
    ['a space that makes no sense', { space: { preset: 'fashion-mini', kernels: [] } }, 'space.kernels'],
    ['a name that is no key', { name: '../x' }, 'name'],
    ['a name that has no room for the backend', { name: 'x'.repeat(58), backends: 'all' }, 'name'],
    ['a backend twice', { backends: ['wasm', 'wasm'] }, 'backends'],
    ['an unknown backend', { backends: ['cuda'] }, 'backends[0]'],
    ['no time', { budgetSeconds: 0 }, 'budgetSeconds'],
    ['an unknown field', { colour: 'red' }, 'colour'],
  ])('is refused, the field named: %s', async (_, changes, path) => {
    const request = { space: makeSpaceRef(), name: 'refused', ...changes }
    const problem = await expectProblem(call('POST', '/v1/profiles', { json: request }), 400)
    expect(problem.errors.map((error) => error.path)).toContain(path)
  })
})

describe('the tables', () => {
  it('cover the space, hold medians without outliers, and say where they are from; a search takes them', async () => {
    const profile = await openProfile({ name: 'from-a-phone', batch: 2 })
    // One round in which everything takes twice as long, and one wild timing: neither moves a median.
    await expectJson(send(profile, { rounds: rounds(5) }))
    await expectJson(send(profile, { batch: 1, rounds: rounds(5, (key, round) => (key + 1) * (round === 0 ? 2 : 1)) }))
    await expectJson(send(profile, { batch: 2, rounds: rounds(5, (key, round) => (key === 1 && round === 3 ? 500 : key + 1)) }))
    const status = profileStatusSchema.parse(await expectJson(finish(profile)))
    expect(status).toMatchObject({ phase: 'published', tables: [{ backend: 'wasm', name: 'from-a-phone' }] })
    const table = latencyTableSchema.parse(await expectJson(call('GET', '/v1/latency-tables/from-a-phone')))
    expect(table).toMatchObject({
      device: { name: 'Test phone', os: 'Android 15' },
      runtime: { name: 'tfjs-wasm', version: '4.22.0', threads: 1, browser: 'Chrome 141.0' },
      batch: 2,
      inputShape: space.input,
      fixedMs: 0,
    })
    expect(Date.parse(table.measuredAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
    expect(coverSpace(space, table).kind).toBe('covered')
    for (const [index, key] of keys.entries()) expect(table.entries[key]?.meanMs).toBeCloseTo(index + 1, 9)

    const config = makeConfigInput({ tableName: 'from-a-phone' })
    const created = (await expectJson(call('POST', '/v1/searches', { json: config }), 201)) as { tableVersion: string }
    expect(created.tableVersion).toBe(status.tables[0]?.version)
  })

  it('are one for each backend, under names of their own', async () => {
    const profile = await openProfile({ name: 'several', backends: 'all' })
    await expectJson(send(profile))
    await expectJson(
      send(profile, { backend: 'webgl', conditions: { ...conditions, adapter: 'Adreno 740', threads: undefined, throttled: true } }),
    )
    await expectJson(send(profile, { backend: 'webgpu', rounds: rounds(4) }))
    const { tables } = profileStatusSchema.parse(await expectJson(finish(profile)))
    // Too few rounds of webgpu for a table.
    expect(tables.map(({ name }) => name)).toEqual(['several-webgl', 'several-wasm'])
    const webgl = latencyTableSchema.parse(await expectJson(call('GET', '/v1/latency-tables/several-webgl')))
    expect(webgl.device.name).toBe('Test phone, Adreno 740, throttled')
    expect(webgl.runtime.name).toBe('tfjs-webgl')
  })

  it('are published once: asking again gives the same, and they outlive their profile', async () => {
    const profile = await openProfile({ name: 'once' })
    await expectJson(send(profile))
    const first = profileStatusSchema.parse(await expectJson(finish(profile)))
    expect(await expectJson(finish(profile))).toEqual(first)
    await later(PROFILE_KEPT_MS + 1000, async () => {
      expect(await runDurableObjectAlarm(env.PROFILE.getByName(profile.profileId))).toBe(true)
    })
    await expectProblem(call('GET', profile.path), 404)
    await expectJson(call('GET', `/v1/latency-tables/once/${first.tables[0]?.version}`))
  })

  it('are not made of too few rounds', async () => {
    const profile = await openProfile()
    await expectProblem(finish(profile), 409, 'conflict')
    await expectJson(send(profile, { rounds: rounds(4) }))
    await expectProblem(finish(profile), 409, 'conflict')
  })
})

describe('the administrator', () => {
  it('sees profiles listed, newest first, without codes or tokens, and deletes them', async () => {
    const older = await openProfile()
    const newer = await openProfile()
    const text = JSON.stringify(await expectJson(call('GET', '/v1/profiles')))
    const { profiles } = JSON.parse(text) as { profiles: unknown[] }
    const ids = profiles.map((profile) => profileStatusSchema.strict().parse(profile).profileId)
    expect(ids.indexOf(newer.profileId)).toBeLessThanOrEqual(ids.indexOf(older.profileId))
    for (const secret of [older.code, older.code.replace('-', ''), older.token]) expect(text).not.toContain(secret)
    expect((await call('DELETE', older.path)).status).toBe(204)
    await expectProblem(call('DELETE', older.path), 404)
    await expectProblem(send(older), 404)
    const after = (await expectJson(call('GET', '/v1/profiles'))) as { profiles: { profileId: string }[] }
    expect(after.profiles.map(({ profileId }) => profileId)).not.toContain(older.profileId)
  })
})
