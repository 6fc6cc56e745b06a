// Stored state of another form than today's: old, newer, and garbage. It is migrated, or shown as unreadable; it takes nothing
// else down, and it can be deleted.

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { directoryMigrations } from '../../coordinator/objects/migrations/directory.ts'
import type { Migration } from '../../coordinator/objects/migrations/migration.ts'
import { searchMigrations } from '../../coordinator/objects/migrations/search.ts'
import { weightsMigrations } from '../../coordinator/objects/migrations/weights.ts'
import { migrate } from '../../coordinator/objects/stored.ts'
import { makeConfigInput, makeRegistration } from '../fixtures/searches.ts'
import version010 from '../fixtures/stored/0.1.0.json'
import { storedStateSchema } from '../fixtures/stored/stored-state.ts'
import { makeLeaseRequest, makeTrainingSpec } from '../fixtures/trainings.ts'
import {
  call,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  leaseTask,
  leaseUntil,
  push,
  readStatus,
  registerTestAgent,
  searchObject,
  shardObject,
  submitTask,
  type TestSearch,
} from './api.ts'
import { restoreObject } from './restore.ts'

/** Changes what an object has stored, as nobody should, and lets it open anew. */
async function change(stub: DurableObjectStub, sql: string, ...values: SqlStorageValue[]): Promise<void> {
  await runInDurableObject(stub, (_, { storage }) => void storage.sql.exec(sql, ...values))
  await evictDurableObject(stub)
}

const tablesOf = (stub: DurableObjectStub) =>
  runInDurableObject(stub, (_, { storage }) =>
    storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'")
      .toArray()
      .map(({ name }) => name),
  )
const migrationsOf = (stub: DurableObjectStub) =>
  runInDurableObject(stub, (_, { storage }) => storage.sql.exec('SELECT version, title FROM migrations ORDER BY version').toArray())

/** As they are noted when all have run. */
const numbered = (migrations: readonly Migration[]) => migrations.map(({ title }, i) => ({ version: i + 1, title }))

/** The members of a list, by its name, and those that cannot be read. */
async function list(path: string) {
  const answer = await expectJson(call('GET', path))
  const members = Object.entries(answer as Record<string, Record<string, string>[]>).flatMap(([name, found]) =>
    name === 'unreadable' ? [] : found,
  )
  return { members, ...(answer as { unreadable: { id: string; name?: string; reason: string; createdAtMs: number }[] }) }
}

const NEWER = "INSERT INTO migrations (version, title) VALUES (99, 'populations have a table')"

/** What may be wrong with a search, with what is said about it. */
const searchFaults: Record<string, { sql: string; says: RegExp }> = {
  'a field of its state that nobody knows': {
    sql: "UPDATE state SET json = json_set(json, '$.mood', 'good')",
    says: /the state cannot be read by version .*: mood: unknown field/,
  },
  'a state that is not JSON': { sql: "UPDATE state SET json = '{'", says: /the state .* not JSON/ },
  'no state': { sql: 'DELETE FROM state', says: /cannot be read/ },
  'a state of its strategy that has no alpha': {
    sql: "UPDATE state SET json = json_remove(json, '$.strategy.alpha')",
    says: /strategy .*alpha/,
  },
  'a setup with a number for its name': {
    sql: "UPDATE search SET setup = json_set(setup, '$.config.name', 7)",
    says: /the setup .*config\.name/,
  },
  'a space that makes no sense': {
    sql: "UPDATE search SET setup = json_set(setup, '$.space.kernels', json('[3,3]'))",
    says: /cannot be read/,
  },
  'an agent without a name': {
    sql: "UPDATE agents SET json = json_remove(json, '$.name')",
    says: /agent a[0-9a-z]{12} .*name/,
  },
  'a task of a kind that nobody knows': {
    sql: "UPDATE outstanding SET json = json_set(json, '$.work.kind', 'dream')",
    says: /task 2 .*work\.kind/,
  },
  'a newer version': {
    sql: NEWER,
    says: new RegExp(
      `a newer version stored it, in form 99 \\("populations have a table"\\), and this one knows forms up to ${searchMigrations.length};`,
    ),
  },
}

describe('a search that cannot be read', () => {
  async function createWorkedSearch(): Promise<TestSearch> {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    const agentId = await registerTestAgent(search)
    const task = await leaseTask(search, agentId)
    await push(search, agentId, task.taskId, encodePush(search, { 'stem/conv/conv.filter': 0 }, 1))
    await submitTask(search, agentId, task)
    await leaseTask(search, agentId)
    return search
  }

  it.each(Object.entries(searchFaults))(
    'because of %s is listed beside the others, refuses with the reason, and is deleted whole',
    async (_, fault) => {
      const sound = await createTestSearch()
      const search = await createWorkedSearch()
      await change(searchObject(search), fault.sql)
      // The list has what the search said of itself, until somebody finds that it cannot be read.
      await expectProblem(call('GET', search.path), 409, 'unreadable')

      const { members, unreadable } = await list('/v1/searches')
      expect(members.map(({ searchId }) => searchId)).toContain(sound.searchId)
      expect(members.map(({ searchId }) => searchId)).not.toContain(search.searchId)
      const shown = unreadable.find(({ id }) => id === search.searchId)
      expect(shown?.reason).toMatch(fault.says)
      expect(shown?.createdAtMs).toBeGreaterThan(0)

      const agentId = 'a000000000000'
      const refused = [
        call('GET', search.path),
        ...['stop', 'pause', 'resume'].map((command) => call('POST', `${search.path}/${command}`)),
        call('GET', `${search.path}/architecture`),
        call('GET', `${search.path}/log`),
        call('GET', `${search.path}/metrics`),
        call('GET', `${search.path}/tokens`),
        call('POST', `${search.path}/tokens`, { json: { label: 'x' } }),
        call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } }),
        call('POST', `${search.path}/agents`, { token: search.agentToken, json: makeRegistration(search.space) }),
      ]
      for (const answer of refused) expect((await expectProblem(answer, 409, 'unreadable')).detail).toMatch(fault.says)
      // Its alarm, of the lease that is out, has nobody to tell.
      await runDurableObjectAlarm(searchObject(search))

      expect((await call('DELETE', search.path)).status).toBe(204)
      expect(await tablesOf(searchObject(search))).toEqual([])
      expect(search.shards).toBeGreaterThan(1)
      for (let shard = 0; shard < search.shards; shard++) expect(await tablesOf(shardObject(search, shard))).toEqual([])
      expect(await runInDurableObject(searchObject(search), (_, { storage }) => storage.getAlarm())).toBeNull()
      const after = await list('/v1/searches')
      expect(JSON.stringify(after)).not.toContain(search.searchId)
      expect((await readStatus(sound)).phase).toBe('waiting')
      await call('DELETE', sound.path)
    },
  )

  it('can be read again once what was wrong is put right', async () => {
    const search = await createWorkedSearch()
    const before = await readStatus(search)
    await change(searchObject(search), NEWER)
    await expectProblem(call('GET', search.path), 409, 'unreadable')
    await change(searchObject(search), 'DELETE FROM migrations WHERE version = 99')
    expect(await readStatus(search)).toEqual(before)
  })

  it('in one result alone goes on; its log is refused from there, and the result is named', async () => {
    const search = await createWorkedSearch()
    await change(searchObject(search), "UPDATE log SET json = json_set(json, '$.metric.loss', 'much') WHERE seq = 1")
    for (const page of ['log', 'metrics'])
      expect((await expectProblem(call('GET', `${search.path}/${page}`), 409, 'unreadable')).detail).toMatch(/result 1 of the log .*loss/)
    expect(await expectJson(call('POST', `${search.path}/stop`))).toEqual({ phase: 'stopped' })
  })
})

describe('a shard that cannot be read', () => {
  it.each([
    [NEWER, /newer version/],
    ["UPDATE shard SET setup = '{}'", /the setup .*searchId/],
    ["UPDATE segments SET versions = '[1]'", /segment 0 .*versions/],
    ["UPDATE segments SET data = x'00'", /segment 0 .*bytes/],
  ])('after %s refuses pulls and pushes, and goes with its search', async (sql, says) => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    const { taskId } = await leaseTask(search, agentId)
    const body = encodePush(search, { 'stem/conv/conv.filter': 0 }, 1)
    await push(search, agentId, taskId, body)
    await change(shardObject(search, 0), sql)
    const held = { 'stem/conv/conv.filter': 0 }
    const { agentToken: token } = search
    const pull = call('POST', `${search.path}/weights/0/pull`, { token, json: { held } })
    expect((await expectProblem(pull, 409, 'unreadable')).detail).toMatch(says)
    const late = call('POST', `${search.path}/weights/0/push?agentId=${agentId}&taskId=9`, {
      token,
      body,
      type: 'application/octet-stream',
    })
    expect((await expectProblem(late, 409, 'unreadable')).detail).toMatch(says)
    expect((await call('DELETE', search.path)).status).toBe(204)
    expect(await tablesOf(shardObject(search, 0))).toEqual([])
  })
})

describe('a training that cannot be read', () => {
  it.each([
    ["UPDATE state SET json = json_set(json, '$.mood', 'good')", /the state .*mood: unknown field/],
    ["UPDATE training SET setup = json_remove(setup, '$.spec.recipe.momentum')", /the setup .*spec\.recipe\.momentum/],
    ["INSERT INTO reports (seq, json) VALUES (1, '{}')", /report 1 .*epoch/],
    [NEWER, /newer version/],
  ])('after %s is listed beside the others, refuses with the reason, and is deleted', async (sql, says) => {
    const create = async () =>
      (await expectJson(call('POST', '/v1/trainings', { json: makeTrainingSpec() }), 201)) as { trainingId: string; agentToken: string }
    const sound = await create()
    const { trainingId, agentToken: token } = await create()
    const path = `/v1/trainings/${trainingId}`
    const stub = env.TRAINING.getByName(trainingId)
    await change(stub, sql)
    const { members, unreadable } = await list('/v1/trainings')
    expect(members.map(({ trainingId: id }) => id)).toContain(sound.trainingId)
    expect(unreadable.find(({ id }) => id === trainingId)?.reason).toMatch(says)
    const leaseId = 'l000000000000'
    for (const answer of [
      call('GET', path),
      call('GET', `${path}/checkpoint`, { token }),
      call('POST', `${path}/release`, { token, json: { leaseId } }),
    ])
      expect((await expectProblem(answer, 409, 'unreadable')).detail).toMatch(says)
    expect((await call('DELETE', path)).status).toBe(204)
    expect(await tablesOf(stub)).toEqual([])
    expect(JSON.stringify(await list('/v1/trainings'))).not.toContain(trainingId)
  })
})

describe('a profile that cannot be read', () => {
  it.each([
    ["UPDATE profile SET json = json_set(json, '$.mood', 'good')", /the profile .*mood: unknown field/],
    ["UPDATE profile SET json = json_set(json, '$.request.space', 'marshland')", /the profile .*request\.space/],
    [NEWER, /newer version/],
  ])('after %s is listed beside the others, refuses with the reason, and is deleted', async (sql, says) => {
    const { space } = makeConfigInput()
    const create = async () =>
      (await expectJson(call('POST', '/v1/profiles', { json: { space, name: 'phone' } }), 201)) as { profileId: string; code: string }
    const sound = await create()
    const { profileId, code } = await create()
    const stub = env.PROFILE.getByName(profileId)
    await change(stub, sql)
    const { members, unreadable } = await list('/v1/profiles')
    expect(members.map(({ profileId: id }) => id)).toContain(sound.profileId)
    expect(unreadable.find(({ id }) => id === profileId)?.reason).toMatch(says)
    await expectProblem(call('GET', `/v1/profiles/${profileId}`), 409, 'unreadable')
    await expectProblem(call('POST', '/v1/profile-sessions', { token: code }), 409, 'unreadable')
    // It is looked at again later: whoever deploys a version that can read it finds it then.
    await runDurableObjectAlarm(stub)
    expect(await runInDurableObject(stub, (_, { storage }) => storage.getAlarm())).toBeGreaterThan(Date.now())
    expect((await call('DELETE', `/v1/profiles/${profileId}`)).status).toBe(204)
    expect(await tablesOf(stub)).toEqual([])
    expect(JSON.stringify(await list('/v1/profiles'))).not.toContain(profileId)
    await call('DELETE', `/v1/profiles/${sound.profileId}`)
  })
})

describe('a latency table that cannot be read', () => {
  it('is named by the list, and refused where it is asked for', async () => {
    await createTestSearch({ tableName: 'sound' })
    const { LATENCY_TABLES: kv } = env
    const version = 'e'.repeat(64)
    await kv.put('pointer:lost', '{"version":7}', { metadata: { name: 'lost' } })
    await kv.put(`table:future:${version}`, '{"layers":[]}', { metadata: { form: 2 } })
    await kv.put(`table:broken:${version}`, '{"name":"broken"}')
    const { members, unreadable } = await list('/v1/latency-tables')
    expect(members.map(({ name }) => name)).toContain('sound')
    expect(unreadable).toEqual([{ name: 'lost', reason: expect.stringContaining('version') }])
    for (const [path, says] of [
      ['lost', /last version of table lost .*version/],
      [`future/${version}`, /newer version stored it, in form 2/],
      [`broken/${version}`, /table broken@.*device/],
    ] as const)
      expect((await expectProblem(call('GET', `/v1/latency-tables/${path}`), 409, 'unreadable')).detail).toMatch(says)
    await kv.delete('pointer:lost')
  })
})

describe('a list that a newer version stored', () => {
  it('is refused, and what was to be listed is not left behind', async () => {
    const directory = env.DIRECTORY.getByName('trainings')
    await expectJson(call('POST', '/v1/trainings', { json: makeTrainingSpec() }), 201)
    await change(directory, NEWER)
    await expectProblem(call('GET', '/v1/trainings'), 409, 'unreadable')
    await expectProblem(call('POST', '/v1/trainings', { json: makeTrainingSpec() }), 409, 'unreadable')
    await change(directory, 'DELETE FROM migrations WHERE version = 99')
    expect(await list('/v1/trainings')).toMatchObject({ unreadable: [] })
  })
})

describe('migrations', () => {
  const stored = storedStateSchema.parse(version010)
  const { searchId } = stored.keys.searches.paused
  const object = stored.objects.find(({ binding, name }) => binding === 'SEARCH' && name === searchId)
  if (!object) throw new Error('expected the paused search among the objects')
  const stub = env.SEARCH.getByName(searchId)
  const agentRows = () =>
    runInDurableObject(stub, (_, { storage }) => storage.sql.exec<{ json: string }>('SELECT json FROM agents').toArray())

  it('of what version 0.1.0 stored run once, and say so', async () => {
    await restoreObject(object)
    expect(await tablesOf(stub)).not.toContain('migrations')
    await expectJson(call('GET', `/v1/searches/${searchId}`))
    const ran = await migrationsOf(stub)
    expect(ran).toEqual(numbered(searchMigrations))
    const [agent] = await agentRows()
    expect(JSON.parse(agent?.json ?? '')).toMatchObject({
      protocol: 0,
      kinds: { trainWeights: 1, gateGradients: 1, evaluatePaths: 1 },
      lanes: 1,
      asked: false,
      exchangeMs: null,
      steps: 0,
    })
    const rowsOf = (table: string) =>
      runInDurableObject(stub, (_, { storage }) =>
        storage.sql
          .exec<{ json: string }>(`SELECT json FROM ${table}`)
          .toArray()
          .map(({ json }) => JSON.parse(json) as object),
      )
    const [state] = await rowsOf('state')
    expect(state).toMatchObject({ counts: { created: 5, done: 3, failed: 0 }, lastFailure: null })
    const outstanding = await rowsOf('outstanding')
    expect(outstanding).toHaveLength(2)
    expect(outstanding.map((task) => (task as { attempts: unknown }).attempts)).toEqual([0, 0])
    const after = await agentRows()
    await evictDurableObject(stub)
    await expectJson(call('GET', `/v1/searches/${searchId}`))
    expect([await migrationsOf(stub), await agentRows()]).toEqual([ran, after])
  })

  it('that cannot be done change nothing, and are done once the cause is gone', async () => {
    await restoreObject(object)
    const before = await agentRows()
    await change(stub, "INSERT INTO agents (agent_id, json) VALUES ('z', '{')")
    await expectProblem(call('GET', `/v1/searches/${searchId}`), 409, 'unreadable')
    expect(await tablesOf(stub)).not.toContain('migrations')
    await change(stub, "DELETE FROM agents WHERE agent_id = 'z'")
    expect(await agentRows()).toEqual(before)
    await expectJson(call('GET', `/v1/searches/${searchId}`))
    expect(await migrationsOf(stub)).toEqual(numbered(searchMigrations))
  })

  it('run in their order, from the one behind the last, each with its number in one transaction', async () => {
    await runInDurableObject(env.SEARCH.get(env.SEARCH.newUniqueId()), (_, { storage }) => {
      const { sql } = storage
      const ran: string[] = []
      const step = (title: string, statement: string) => ({
        title,
        up: (within: SqlStorage) => {
          ran.push(title)
          within.exec(statement)
        },
      })
      const first = step('a table', 'CREATE TABLE things (id INTEGER PRIMARY KEY)')
      const second = step('a thing', 'INSERT INTO things (id) VALUES (1)')
      const failing = step('the same thing', 'INSERT INTO things (id) VALUES (1)')
      expect(() => migrate(storage, [first, second, failing])).toThrow(/UNIQUE/)
      expect(sql.exec("SELECT name FROM sqlite_master WHERE name IN ('things', 'migrations')").toArray()).toEqual([])
      migrate(storage, [first])
      migrate(storage, [first, second])
      migrate(storage, [first, second])
      expect(ran).toEqual(['a table', 'a thing', 'the same thing', 'a table', 'a thing'])
      expect(sql.exec('SELECT version FROM migrations').toArray()).toEqual([{ version: 1 }, { version: 2 }])
      expect(() => migrate(storage, [first])).toThrow(/form 2 \("a thing"\), and this one knows forms up to 1/)
    })
  })

  it('have all run in what is new', async () => {
    const search = await createTestSearch()
    for (const [created, migrations] of [
      [searchObject(search), searchMigrations],
      [shardObject(search, 0), weightsMigrations],
      [env.DIRECTORY.getByName('directory'), directoryMigrations],
    ] as const)
      expect(await migrationsOf(created as DurableObjectStub)).toEqual(numbered(migrations))
  })
})

describe('the protocol of an agent', () => {
  const register = (search: TestSearch, changes: object) =>
    call('POST', `${search.path}/agents`, { token: search.agentToken, json: { ...makeRegistration(search.space), ...changes } })
  const lease = (search: TestSearch, agentId: string) =>
    call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } })
  const agentOf = async (answer: Promise<Response>) => ((await expectJson(answer, 201)) as { agentId: string }).agentId
  const without = (search: TestSearch) => {
    const { protocol: _, kinds: __, lanes: ___, ...registration } = makeRegistration(search.space)
    return call('POST', `${search.path}/agents`, { token: search.agentToken, json: registration })
  }

  it('that is not spoken is refused before anything else is looked at, with those that are and what to do', async () => {
    const search = await createTestSearch()
    const problem = await expectProblem(register(search, { protocol: 2, ears: 2 }), 409, 'version-mismatch')
    expect(problem.detail).toMatch(/speaks protocol 2, .* version \d+\.\d+\.\d+, speaks 0 and 1: .*newer coordinator/)
    expect(problem.errors).toEqual([{ path: 'protocol', message: 'expected 0 or 1' }])
    expect((await readStatus(search)).agents).toEqual([])
    // Requests stay strict.
    expect((await expectProblem(register(search, { ears: 2 }), 400, 'invalid-request')).errors[0]?.path).toBe('ears')
    await expectProblem(register(search, { protocol: 1.5 }), 409, 'version-mismatch')
    await expectProblem(register(search, { kinds: { trainWeights: 0 } }), 400, 'invalid-request')
  })

  it('of a training that is not spoken is refused too', async () => {
    const created = (await expectJson(call('POST', '/v1/trainings', { json: makeTrainingSpec() }), 201)) as {
      trainingId: string
      agentToken: string
    }
    const path = `/v1/trainings/${created.trainingId}`
    const ask = (changes: object) => {
      const json = { ...makeLeaseRequest(makeTrainingSpec()), ...changes }
      return call('POST', `${path}/lease`, { token: created.agentToken, json })
    }
    await expectProblem(ask({ protocol: 2, ears: 2 }), 409, 'version-mismatch')
    const problem = await expectProblem(ask({ kinds: { trainWeights: 2 } }), 409, 'conflict')
    expect(problem.detail).toMatch(/trainArchitecture, version 1, .*does not know it/)
    expect(await expectJson(call('GET', path))).toMatchObject({ leases: 0, phase: 'waiting' })
    expect(await expectJson(ask({}))).toMatchObject({ kind: 'lease' })
  })

  it('that is not said is that of version 0.1.0: such an agent works alone, and is refused what it does not know', async () => {
    const search = await createTestSearch({ steps: 40, strategy: { warmupSteps: 40 } })
    const old = await agentOf(without(search))
    const alone = await leaseTask(search, old)
    expect(alone.work).toEqual({ kind: 'trainWeights', firstStep: 0, paths: expect.any(Array) })
    await submitTask(search, old, alone)
    const young = await registerTestAgent(search, 'young')
    await leaseTask(search, young)
    const before = await readStatus(search)
    const problem = await expectProblem(lease(search, old), 409, 'conflict')
    expect(problem.detail).toMatch(/trainWeights, version 2, and agent agent knows version 1: start it anew/)
    expect(await readStatus(search)).toEqual(before)
  })

  it('that does not know smaller images gets nothing of a search that has them', async () => {
    const search = await createTestSearch({ steps: 40, strategy: { warmupSteps: 40 }, reducedResolution: { share: 0.5 } })
    const old = await agentOf(register(search, { kinds: { trainWeights: 5 } }))
    const problem = await expectProblem(lease(search, old), 409, 'conflict')
    expect(problem.detail).toMatch(/trainWeights, version 6, and agent .* knows version 5: start it anew/)
    expect((await leaseTask(search, await registerTestAgent(search, 'young'))).work.kind).toBe('trainWeights')
  })

  it('says which kinds it knows: of tasks that wait it gets one of those, whatever their order, and is refused where there is none', async () => {
    const search = await createTestSearch({ steps: 40, strategy: { warmupSteps: 4 } })
    const whole = await registerTestAgent(search, 'whole')
    const { taskId, leaseId } = await leaseUntil(search, whole, 'gateGradients')
    const json = { agentId: whole, taskId, leaseId }
    await expectJson(call('POST', `${search.path}/release`, { token: search.agentToken, json }))
    const weightsOnly = await agentOf(register(search, { kinds: { trainWeights: 2, dreams: 3 } }))
    expect((await leaseTask(search, weightsOnly)).work.kind).toBe('trainWeights')
    const none = await agentOf(register(search, { kinds: { dreams: 3 } }))
    const problem = await expectProblem(lease(search, none), 409, 'conflict')
    expect(problem.detail).toMatch(/does not know it/)
    // Who knows it gets the task that came back.
    expect((await leaseTask(search, whole)).taskId).toBe(taskId)
  })
})
