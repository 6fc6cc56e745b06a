// A search leaves for a file and comes back as another one: the same numbers, bit for bit, and it goes on with them.

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  createSearchResponseSchema,
  type ExportHead,
  exportHeadSchema,
  exportPageSchema,
  type RowPage,
  type StoredObject,
} from '../../protocol/index.ts'
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
  shardObject,
  submission,
  submitTask,
  type TestSearch,
} from './api.ts'

const TASKS = 7

type Exported = { readonly head: ExportHead; readonly pages: RowPage[] }

async function exportSearch({ path }: { path: string }): Promise<Exported> {
  const head = exportHeadSchema.parse(await expectJson(call('GET', `${path}/export`)))
  const pages: RowPage[] = []
  for (const object of ['search', ...head.shardForms.keys()] satisfies StoredObject[]) {
    let cursor: string | null = null
    do {
      const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`
      const of = object === 'search' ? object : `shards/${object}`
      const { page, next } = exportPageSchema.parse(await expectJson(call('GET', `${path}/export/${of}${query}`)))
      if (page) pages.push(page)
      cursor = next
    } while (cursor !== null)
  }
  return { head, pages }
}

const begin = async ({ form, shardForms }: Pick<ExportHead, 'form' | 'shardForms'>) =>
  ((await expectJson(call('POST', '/v1/search-imports', { json: { form, shardForms } }), 201)) as { searchId: string }).searchId
const put = (searchId: string, page: unknown) => call('PUT', `/v1/search-imports/${searchId}/rows`, { json: page })

async function importPages(head: ExportHead, pages: readonly RowPage[]): Promise<{ searchId: string; finish: () => Promise<Response> }> {
  const searchId = await begin(head)
  for (const page of pages) expect((await put(searchId, page)).status).toBe(204)
  return { searchId, finish: () => call('POST', `/v1/search-imports/${searchId}/finish`) }
}

const isListed = async (searchId: string) =>
  ((await expectJson(call('GET', '/v1/searches'))) as { searches: { searchId: string }[] }).searches.some(
    (found) => found.searchId === searchId,
  )

const tablesOf = (stub: DurableObjectStub) =>
  runInDurableObject(stub, (_, { storage }) =>
    storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
  )

/** What may differ between a search and its copy: ids, tokens, and when it was created. */
function comparable({ status, log, weights }: Awaited<ReturnType<typeof observe>>) {
  const { searchId: _, createdAtMs: __, ...rest } = status
  return { rest, log, weights }
}

describe('a search that is exported', () => {
  let search: TestSearch
  let agentId: string
  let exported: Exported

  beforeAll(async () => {
    search = await createTestSearch({ name: 'to be moved', blocks: 2, steps: 24, weights: { shardBytes: 4096 } })
    agentId = await registerTestAgent(search)
    const versions = new Map<string, number>()
    for (let i = 0; i < TASKS; i++) {
      const task = await leaseTask(search, agentId)
      const shard = i % search.shards
      const [key = ''] = keysOf(search, shard)
      const version = versions.get(key) ?? 0
      versions.set(key, version + 1)
      const body = encodePush(search, { [key]: version }, (at) => 0.001 * (at + i))
      await push(search, agentId, task.taskId, body, shard)
      await submitTask(search, agentId, task)
    }
    await expectProblem(call('GET', `${search.path}/export`), 409, 'conflict')
    await expectJson(call('POST', `${search.path}/pause`))
    exported = await exportSearch(search)
  })

  it('comes back as another one with the same status, log and weights, and goes on to the same end', async () => {
    expect(search.shards).toBeGreaterThan(1)
    const { searchId, finish } = await importPages(exported.head, exported.pages)
    await expectProblem(call('GET', `/v1/searches/${searchId}`), 404)
    const created = createSearchResponseSchema.parse(await expectJson(finish(), 201))
    const copy: TestSearch = { ...search, ...created, path: `/v1/searches/${searchId}` }
    expect(await isListed(searchId)).toBe(true)
    const before = comparable(await observe(search))
    expect(before.log).toHaveLength(TASKS)
    expect(comparable(await observe(copy))).toEqual(before)

    // The agent is known there as well, and its tokens are not.
    await expectProblem(call('GET', copy.path, { token: search.agentToken }), 403)
    for (const each of [search, copy]) await expectJson(call('POST', `${each.path}/resume`))
    // The administrator may act as any agent: the one that there was makes both searches go on alike.
    const tasks = [await finishSearch(search, agentId), await finishSearch({ ...copy, agentToken: ADMIN_TOKEN }, agentId)]
    expect(tasks[0]).toBe(tasks[1])
    const [end, copied] = [await readStatus(search), await readStatus(copy)]
    expect(copied.phase).toBe('finished')
    expect(copied.alpha).toEqual(end.alpha)
    expect(copied.current).toEqual(end.current)
    expect((await exportSearch(copy)).head.revision).not.toBe(exported.head.revision)
  })

  it('after it was taken back goes on as the one that it is a copy of, without its snapshots', async () => {
    const source = await createTestSearch({ blocks: 2, steps: 24, weights: { shardBytes: 4096 } })
    const worker = await registerTestAgent(source)
    const work = async (of: TestSearch) => {
      const task = await leaseTask(of, worker)
      const [key = ''] = keysOf(of, 0)
      const { versions } = await pullShard(of, 0, { [key]: -1 })
      const right = { ...(task.rollbacks !== undefined && { rollbacks: task.rollbacks }), ...(of !== source && { tokenId: null }) }
      const answer = await push(of, worker, task.taskId, encodePush(of, versions, 0.01), 0, right)
      await submitTask(of, worker, task)
      return { kind: answer.kind, taskId: task.taskId, rollbacks: task.rollbacks }
    }
    await work(source)
    await expectJson(call('POST', `${source.path}/snapshots`), 201)
    await work(source)
    await expectJson(call('POST', `${source.path}/snapshots/1/rollback`))
    const file = await exportSearch(source)
    const { searchId, finish } = await importPages(file.head, file.pages)
    await expectJson(finish(), 201)
    const copy: TestSearch = { ...source, searchId, path: `/v1/searches/${searchId}`, agentToken: ADMIN_TOKEN }
    const status = await readStatus(copy)
    expect(status).toMatchObject({ rollbacks: [{ number: 1, snapshot: 1, results: 1 }], tasks: { rolledBack: 1 } })
    expect(status).not.toHaveProperty('snapshots')
    for (const each of [source, copy]) {
      await expectJson(call('POST', `${each.path}/resume`))
      expect(await work(each)).toEqual({ kind: 'applied', taskId: 3, rollbacks: 1 })
    }
    await expectProblem(call('POST', `${copy.path}/snapshots/1/rollback`), 404)
    expect(await expectJson(call('POST', `${copy.path}/snapshots`), 201)).toMatchObject({ number: 2 })
  })

  it('is none while it runs, or while tasks are handed out', async () => {
    const busy = await createTestSearch()
    const worker = await registerTestAgent(busy)
    const task = await leaseTask(busy, worker)
    expect((await expectProblem(call('GET', `${busy.path}/export`), 409, 'conflict')).detail).toContain('pause')
    await expectJson(call('POST', `${busy.path}/pause`))
    expect((await expectProblem(call('GET', `${busy.path}/export`), 409, 'conflict')).detail).toContain('1 tasks')
    const before = submission(busy, worker, task)
    await expectJson(call('POST', `${busy.path}/results`, { token: busy.agentToken, json: before }))
    expect(exportHeadSchema.parse(await expectJson(call('GET', `${busy.path}/export`))).searchId).toBe(busy.searchId)
    await expectProblem(call('GET', `${busy.path}/export`, { token: busy.agentToken }), 403)
    await expectProblem(call('GET', `${busy.path}/export/search?cursor=nothing:1`), 400)
  })

  const damages: [string, (pages: RowPage[]) => RowPage[], RegExp][] = [
    ['without its state', (pages) => pages.filter(({ table }) => table !== 'state'), /state/],
    [
      'without a result',
      (pages) => pages.map((page) => (page.table === 'log' ? { ...page, rows: page.rows.slice(1) } : page)),
      /log: result 1/,
    ],
    [
      'with a result of another form',
      (pages) =>
        pages.map((page) =>
          page.table === 'log'
            ? {
                ...page,
                rows: page.rows.map((row, i) => (i === 2 ? { ...row, json: String(row['json']).replace('"loss"', '"lose"') } : row)),
              }
            : page,
        ),
      /result 3 of the log.*los/,
    ],
    [
      'with weights that are cut',
      (pages) =>
        pages.map((page) =>
          page.table === 'segments' ? { ...page, rows: page.rows.map((row) => ({ ...row, data: { base64: 'AAAAAA==' } })) } : page,
        ),
      /segment 0.*bytes of weights/,
    ],
    [
      'with a weight that is no number',
      (pages) =>
        pages.map((page) => {
          if (page.table !== 'segments') return page
          const nan = (data: unknown) => {
            const bytes = Uint8Array.from(atob((data as { base64: string }).base64), (character) => character.charCodeAt(0))
            new DataView(bytes.buffer).setFloat32(0, Number.NaN, true)
            return { base64: btoa(String.fromCharCode(...bytes)) }
          }
          return { ...page, rows: page.rows.map((row) => ({ ...row, data: nan(row['data']) })) }
        }),
      /element 0 is no finite number/,
    ],
    ['without its setup', (pages) => pages.filter(({ table }) => table !== 'search'), /setup/],
  ]

  it.each(damages)('is refused %s, with what is wrong named, and leaves nothing', async (_, damage, says) => {
    const { searchId, finish } = await importPages(exported.head, damage(exported.pages))
    const answer = await finish()
    expect([400, 409]).toContain(answer.status)
    expect((await expectProblem(answer, answer.status)).detail).toMatch(says)
    await expectProblem(call('DELETE', `/v1/searches/${searchId}`), 404)
    for (const stub of [env.SEARCH.getByName(searchId), shardObject({ searchId }, 0)]) expect(await tablesOf(stub)).toEqual([])
  })

  it('is refused as of a newer form, or with rows that no table takes', async () => {
    const { head } = exported
    const newer = await expectProblem(call('POST', '/v1/search-imports', { json: { form: 999, shardForms: head.shardForms } }), 400)
    expect(newer.errors.map(({ path }) => path)).toEqual(['form'])
    const shards = await expectProblem(call('POST', '/v1/search-imports', { json: { form: head.form, shardForms: [1, 999] } }), 400)
    expect(shards.errors.map(({ path }) => path)).toEqual(['shardForms[1]'])
    const searchId = await begin(head)
    const wrong = async (page: unknown) => (await expectProblem(put(searchId, page), 400)).errors.map(({ path }) => path)
    expect(await wrong({ object: 'search', table: 'tokens', rows: [{ a: 1 }] })).toEqual(['table'])
    expect(await wrong({ object: 'search', table: 'log', rows: [{ seq: 1, json: '{}', more: 2 }] })).toEqual(['rows[0].more'])
    expect(await wrong({ object: 0, table: 'applied', rows: [{ task_id: 1, size: 2 }] })).toEqual(['rows[0].velocity_size'])
    expect((await call('DELETE', `/v1/searches/${searchId}`)).status).toBe(204)
    await expectProblem(put(searchId, exported.pages[0]), 404)
    await expectProblem(put(search.searchId, exported.pages[0]), 404)
  })

  it('and never ended at its import is deleted by itself', async () => {
    const { searchId } = await importPages(exported.head, exported.pages.slice(0, 3))
    const stub = env.SEARCH.getByName(searchId)
    await evictDurableObject(stub)
    expect(await runDurableObjectAlarm(stub)).toBe(true)
    await expectProblem(call('DELETE', `/v1/searches/${searchId}`), 404)
  })
})
