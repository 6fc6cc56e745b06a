import {
  abortAllDurableObjects,
  evictDurableObject,
  listDurableObjectIds,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import worker from '../../coordinator/index.ts'
import type { SearchObject } from '../../coordinator/objects/search-object.ts'
import { describe, expect, it } from 'vitest'
import { leaseResponseSchema } from '../../protocol/index.ts'
import {
  ADMIN_TOKEN,
  call,
  createTestSearch,
  encodePush,
  expectJson,
  expectProblem,
  finishSearch,
  keysOf,
  leaseTask,
  observe,
  pullShard,
  push,
  readStatus,
  registerTestAgent,
  searchObject,
  shardObject,
  submission,
  submitTask,
} from './api.ts'

/** Names of the tables in an object's storage, the runtime's own left out. */
async function tablesOf(stub: DurableObjectStub): Promise<string[]> {
  return runInDurableObject(stub, (_, { storage }) =>
    storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'")
      .toArray()
      .map((row) => row.name),
  )
}

const restarts = {
  async 'an eviction'(search: { searchId: string }, shards: number) {
    await evictDurableObject(searchObject(search))
    for (let shard = 0; shard < shards; shard++) await evictDurableObject(shardObject(search, shard))
  },
  'a crash of every object': () => abortAllDurableObjects(),
}

describe.each(Object.entries(restarts))('after %s', (_, restart) => {
  it('everything that was acknowledged is there: results, leases, tokens, weights and versions', async () => {
    const search = await createTestSearch({ steps: 20, weights: { shardBytes: 2048 } })
    const agentId = await registerTestAgent(search)
    for (let i = 0; i < 5; i++) {
      const task = await leaseTask(search, agentId)
      for (let shard = 0; shard < search.shards; shard++) {
        const key = keysOf(search, shard)[0] as string
        await push(search, agentId, task.taskId, encodePush(search, { [key]: i }, 1 / (i + 1)), shard)
      }
      await submitTask(search, agentId, task)
    }
    const held = await leaseTask(search, agentId)
    const before = await observe(search)
    expect(before.status.tasks).toMatchObject({ done: 5, leased: 1 })
    await restart(search, search.shards)
    expect(await observe(search)).toEqual(before)
    // What was applied is known to be applied, on every object.
    const first = before.log[0]
    expect(
      await expectJson(
        call('POST', `${search.path}/results`, {
          token: search.agentToken,
          json: { ...submission(search, agentId, held), taskId: 1, result: first?.result },
        }),
      ),
    ).toEqual({ kind: 'duplicate' })
    for (let shard = 0; shard < search.shards; shard++) {
      expect((await push(search, agentId, 1, encodePush(search, { [keysOf(search, shard)[0] as string]: 0 }, 1), shard)).kind).toBe(
        'duplicate',
      )
    }
    // The lease still holds, and the search goes on to its end.
    const ref = { agentId, taskId: held.taskId, leaseId: held.leaseId }
    expect(await expectJson(call('POST', `${search.path}/heartbeat`, { token: search.agentToken, json: ref }))).toEqual({
      kind: 'extended',
    })
    expect(await submitTask(search, agentId, held)).toEqual({ kind: 'accepted' })
    await finishSearch(search, agentId)
    expect((await readStatus(search)).steps.done).toBe(20)
  })

  it('a revoked token stays revoked', async () => {
    const search = await createTestSearch()
    await pullShard(search, 0)
    expect((await call('DELETE', `${search.path}/tokens/${search.tokenId}`)).status).toBe(204)
    await restart(search, search.shards)
    await expectProblem(call('POST', `${search.path}/weights/0/pull`, { token: search.agentToken, json: { held: {} } }), 401)
    await expectProblem(call('GET', search.path, { token: search.agentToken }), 401)
  })

  it('a tensor larger than a row of storage is whole', async () => {
    // 8 × 70,000 float32 are 2.24 MB; a row holds at most 2 MB.
    const search = await createTestSearch({ blocks: 1, classes: 70_000 })
    const agentId = await registerTestAgent(search)
    const key = 'classifier/conv/linear.weights'
    await push(
      search,
      agentId,
      1,
      encodePush(search, { [key]: 0 }, (i) => Math.sin(i)),
    )
    const before = (await pullShard(search, 0, { [key]: -1 })).values.get(key)
    await restart(search, search.shards)
    const after = await pullShard(search, 0, { [key]: -1 })
    expect(after.versions).toEqual({ [key]: 1 })
    expect(after.values.get(key)).toHaveLength(560_000)
    expect(after.values.get(key)).toEqual(before)
    const rows = await runInDurableObject(shardObject(search, 0), (__, { storage }) =>
      storage.sql.exec<{ bytes: number }>('SELECT length(data) AS bytes FROM segments').toArray(),
    )
    expect(rows.length).toBe(2)
    expect(rows.reduce((sum, row) => sum + row.bytes, 0)).toBe(2_240_000)
  })
})

describe('the alarm', () => {
  it('returns the task of an agent that disappeared, and is set again for the next lease', async () => {
    const search = await createTestSearch({ tasks: { leaseMs: 2000 } })
    const agentId = await registerTestAgent(search)
    const other = await registerTestAgent(search)
    const lost = await leaseTask(search, agentId)
    const alarmAt = () => runInDurableObject(searchObject(search), (_, { storage }) => storage.getAlarm())
    const due = await alarmAt()
    expect(due).toBeGreaterThan(Date.now())
    expect(due).toBeLessThanOrEqual(Date.now() + 2000)
    await evictDurableObject(searchObject(search))
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const kept = await leaseTask(search, other)
    expect(await alarmAt()).toBe(due)
    // The first lease ends, the second does not. No timer: the real alarm may or may not have rung by itself.
    await new Promise((resolve) => setTimeout(resolve, (due as number) - Date.now() + 20))
    await runDurableObjectAlarm(searchObject(search))
    expect((await readStatus(search)).tasks).toMatchObject({ leased: 1, queued: 1, expiredLeases: 1 })
    expect(await alarmAt()).toBeGreaterThan(due as number)
    expect((await leaseTask(search, other)).taskId).toBe(lost.taskId)
    expect(await submitTask(search, other, kept)).toEqual({ kind: 'accepted' })
    // Late, but nobody else has delivered; whoever has the task now will hear that it is known.
    expect(await submitTask(search, agentId, lost)).toEqual({ kind: 'accepted' })
    expect(await submitTask(search, other, lost)).toEqual({ kind: 'duplicate' })
  })

  it('that rings early takes no lease away, and rings again', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    await leaseTask(search, agentId)
    expect(await runDurableObjectAlarm(searchObject(search))).toBe(true)
    expect((await readStatus(search)).tasks).toMatchObject({ leased: 1, queued: 0, expiredLeases: 0 })
    expect(await runInDurableObject(searchObject(search), (_, { storage }) => storage.getAlarm())).not.toBeNull()
  })

  it('is not set again once nothing is out, and nobody could be missed', async () => {
    const search = await createTestSearch()
    const agentId = await registerTestAgent(search)
    await submitTask(search, agentId, await leaseTask(search, agentId))
    await expectJson(call('POST', `${search.path}/pause`))
    expect(await runDurableObjectAlarm(searchObject(search))).toBe(true)
    expect(await runDurableObjectAlarm(searchObject(search))).toBe(false)
  })
})

describe('storage', () => {
  it('is not used by objects of ids that were made up', async () => {
    const made = { searchId: 's00madeupid00' }
    const token = `gha.${made.searchId}.t000000000000.${'x'.repeat(43)}`
    for (const caller of [undefined, token]) {
      await expectProblem(call('GET', `/v1/searches/${made.searchId}`, { token: caller }), 404)
      await expectProblem(call('POST', `/v1/searches/${made.searchId}/lease`, { token: caller, json: { agentId: 'a000000000000' } }), 404)
      await expectProblem(call('POST', `/v1/searches/${made.searchId}/weights/7/pull`, { token: caller, json: { held: {} } }), 404)
    }
    await expectProblem(call('POST', `/v1/searches/${made.searchId}/tokens`, { json: { label: 'x' } }), 404)
    await expectProblem(call('DELETE', `/v1/searches/${made.searchId}`), 404)
    expect(await tablesOf(searchObject(made))).toEqual([])
    expect(await tablesOf(shardObject(made, 7))).toEqual([])
    expect(await runInDurableObject(searchObject(made), (_, { storage }) => storage.getAlarm())).toBeNull()
  })

  it('is not used by a shard that a search does not have', async () => {
    const search = await createTestSearch()
    await expectProblem(call('POST', `${search.path}/weights/${search.shards}/pull`, { token: search.agentToken, json: { held: {} } }), 404)
    expect(await tablesOf(shardObject(search, search.shards))).toEqual([])
  })

  it('holds no token, only hashes', async () => {
    const search = await createTestSearch()
    const secret = search.agentToken.split('.')[3] as string
    for (const stub of [searchObject(search), shardObject(search, 0)]) {
      const dump = await runInDurableObject(stub as DurableObjectStub, (_, { storage }) =>
        storage.sql
          .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'")
          .toArray()
          .map(({ name }) =>
            storage.sql
              .exec(`SELECT * FROM ${name}`)
              .toArray()
              .map((row) =>
                Object.values(row).map((value) => (value instanceof ArrayBuffer ? new TextDecoder().decode(value) : String(value))),
              ),
          ),
      )
      expect(JSON.stringify(dump)).not.toContain(secret)
    }
  })

  it('of a deleted search is empty on every object, and its alarm is gone', async () => {
    const search = await createTestSearch({ weights: { shardBytes: 2048 } })
    const agentId = await registerTestAgent(search)
    const task = await leaseTask(search, agentId)
    await push(search, agentId, task.taskId, encodePush(search, { 'stem/conv/conv.filter': 0 }, 1))
    expect((await tablesOf(searchObject(search))).length).toBeGreaterThan(0)
    expect((await call('DELETE', search.path)).status).toBe(204)
    expect(await tablesOf(searchObject(search))).toEqual([])
    for (let shard = 0; shard < search.shards; shard++) expect(await tablesOf(shardObject(search, shard))).toEqual([])
    expect(await runInDurableObject(searchObject(search), (_, { storage }) => storage.getAlarm())).toBeNull()
  })

  it('of a search that is refused is empty', async () => {
    const objects = () =>
      runInDurableObject(
        env.DIRECTORY.getByName('directory'),
        (_, { storage }) => storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM searches').one().n,
      )
    const search = await createTestSearch({ tableName: 'for-refused' })
    const before = await objects()
    // Refused by the strategy, the last to look at a configuration.
    const config = { ...search.config, strategy: { ...search.config.strategy, initialAlpha: [[0]] } }
    const known = new Set((await listDurableObjectIds(env.SEARCH)).map(String))
    await expectProblem(call('POST', '/v1/searches', { json: config }), 400)
    expect(await objects()).toBe(before)
    for (const id of await listDurableObjectIds(env.SEARCH)) {
      if (!known.has(String(id))) expect(await tablesOf(env.SEARCH.get(id))).toEqual([])
    }
  })

  it('of a search whose shards could not be made is empty again', async () => {
    const search = await createTestSearch({ tableName: 'half-made' })
    const object = env.SEARCH.get(env.SEARCH.newUniqueId())
    const table = { ...((await expectJson(call('GET', '/v1/latency-tables/half-made'))) as object), version: '0'.repeat(64) }
    const failing = runInDurableObject(object, (instance) => {
      const held = instance as unknown as { env: typeof env; create(...args: unknown[]): Promise<unknown> }
      held.env = {
        ...env,
        WEIGHTS: { getByName: () => ({ create: () => Promise.reject(new Error('unreachable')), destroy: () => Promise.resolve() }) },
      } as unknown as typeof env
      return held.create(search.searchId, search.config, table, {
        tokenId: 't000000000000',
        label: 'x',
        createdAtMs: Date.now(),
        hash: new Uint8Array(32),
      })
    })
    await expect(failing).rejects.toThrow('unreachable')
    expect(await tablesOf(object)).toEqual([])
  })
})

describe('work cut short', () => {
  it('after a search was made leaves one that is listed and can be deleted', async () => {
    const { config } = await createTestSearch({ name: 'before' })
    const made: string[] = []
    const searches = {
      getByName: (name: string) => ({
        async create(...request: Parameters<DurableObjectStub<SearchObject>['create']>) {
          made.push(name)
          await env.SEARCH.getByName(name).create(...request)
          throw new Error('the connection to the object was lost')
        },
      }),
    } as unknown as typeof env.SEARCH
    const response = await worker.fetch(
      new Request('http://gatehouse/v1/searches', {
        method: 'POST',
        headers: { Authorization: `Bearer ${ADMIN_TOKEN}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(config),
      }),
      { ...env, SEARCH: searches },
      {} as ExecutionContext,
    )
    expect(response.status).toBe(500)
    const listed = async () => ((await expectJson(call('GET', '/v1/searches'))) as { searches: { searchId: string }[] }).searches
    expect((await listed()).map(({ searchId }) => searchId)).toContain(made[0])
    expect((await call('DELETE', `/v1/searches/${made[0]}`)).status).toBe(204)
    expect((await listed()).map(({ searchId }) => searchId)).not.toContain(made[0])
  })

  it('before all shards of a search were made is made up for by its next token', async () => {
    const search = await createTestSearch({ blocks: 2, weights: { shardBytes: 4096 } })
    expect(search.shards).toBeGreaterThan(1)
    const whole = await pullShard(search, 1)
    await runInDurableObject(shardObject(search, 1), (_, { storage }) => storage.deleteAll())
    await evictDurableObject(shardObject(search, 1))
    await expectProblem(call('POST', `${search.path}/weights/1/pull`, { token: search.agentToken, json: { held: {} } }), 404)
    const { agentToken } = (await expectJson(call('POST', `${search.path}/tokens`, { json: { label: 'second' } }), 201)) as {
      agentToken: string
    }
    expect(await pullShard({ ...search, agentToken }, 1)).toEqual(whole)
  })

  /** An object's class, with shards that cannot be reached. */
  type Unreachable = { env: typeof env; removeToken(tokenId: string): Promise<unknown>; destroy(): Promise<unknown> }

  it('of a revocation can be repeated until every shard has forgotten the token', async () => {
    const search = await createTestSearch()
    await pullShard(search, 0)
    const cut = runInDurableObject(searchObject(search), async (instance) => {
      const held = instance as unknown as Unreachable
      const whole = held.env
      const fail = () => Promise.reject(new Error('unreachable'))
      held.env = { ...whole, WEIGHTS: { getByName: () => ({ removeToken: fail }) } } as unknown as typeof env
      await held.removeToken(search.tokenId).finally(() => (held.env = whole))
    })
    await expect(cut).rejects.toThrow('unreachable')
    expect((await call('DELETE', `${search.path}/tokens/${search.tokenId}`)).status).toBe(204)
    await expectProblem(call('POST', `${search.path}/weights/0/pull`, { token: search.agentToken, json: { held: {} } }), 401)
  })

  it('of a deletion can be repeated until the search is no longer listed', async () => {
    const search = await createTestSearch()
    const inDirectory = () =>
      runInDurableObject(
        env.DIRECTORY.getByName('directory'),
        (_, { storage }) => storage.sql.exec('SELECT 1 FROM searches WHERE search_id = ?', search.searchId).toArray().length,
      )
    // The Worker disappears when the search is gone and the list has not heard of it.
    await runInDurableObject(searchObject(search), (instance) => (instance as unknown as Unreachable).destroy())
    expect(await inDirectory()).toBe(1)
    await expectProblem(call('DELETE', search.path), 404)
    expect(await inDirectory()).toBe(0)
  })
})

describe('the largest tasks that a search may have', () => {
  it('fit a row, also when they come back, and the log gives them in pages that fit a message', async () => {
    // 16 blocks of 12 operations, all of them gates: 170 steps are 32,640 gates.
    const search = await createTestSearch({
      blocks: 16,
      kernels: [3, 5],
      expansions: [1, 2, 3, 4, 5, 6],
      zero: false,
      steps: 1700,
      strategy: { form: 'full', warmupSteps: 0, archEvery: 1, evaluateEvery: 1_000_000 },
      tasks: { weightSteps: 1000, architectureSteps: 170 },
    })
    const agentId = await registerTestAgent(search)
    for (;;) {
      const answer = leaseResponseSchema.parse(
        await expectJson(call('POST', `${search.path}/lease`, { token: search.agentToken, json: { agentId } })),
      )
      if (answer.kind !== 'task') break
      const request = submission(search, agentId, answer.task)
      if (request.result.kind === 'gateGradients') {
        for (const step of request.result.steps)
          step.gateGradients = step.gateGradients.map((gates) => gates?.map((_, i) => -1e-10 / (3 + i)) ?? null)
      }
      expect(await expectJson(call('POST', `${search.path}/results`, { token: search.agentToken, json: request }))).toEqual({
        kind: 'accepted',
      })
    }
    const status = await readStatus(search)
    expect(status).toMatchObject({ phase: 'finished', architectureSteps: { done: 1700 } })
    const pages: number[][] = []
    for (let after = 0; ; after = pages.at(-1)?.at(-1) ?? 0) {
      const { entries } = (await expectJson(call('GET', `${search.path}/log?after=${after}`))) as { entries: { seq: number }[] }
      if (entries.length === 0) break
      pages.push(entries.map((entry) => entry.seq))
    }
    expect(pages.length).toBeGreaterThan(1)
    expect(pages.flat()).toEqual(Array.from({ length: status.tasks.created }, (_, index) => index + 1))
    const { metrics } = (await expectJson(call('GET', `${search.path}/metrics`))) as { metrics: unknown[] }
    expect(metrics).toHaveLength(status.tasks.created)
  })
})
