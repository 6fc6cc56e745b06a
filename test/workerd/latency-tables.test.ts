import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { distributionOf, searchStatusSchema, tableSummarySchema } from '../../protocol/index.ts'
import { createSpace, type SpaceRef } from '../../search-space/index.ts'
import { makeConfigInput, makeSpaceRef, makeTable } from '../fixtures/searches.ts'
import { call, createTestSearch, expectJson, expectProblem, readStatus } from './api.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

const space = createSpace(makeSpaceRef())
const publish = async (table: unknown) =>
  (await expectJson(call('POST', '/v1/latency-tables', { json: table }), 201)) as { name: string; version: string }

/** JSON with sorted keys, worked out apart from the code under test. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  )
}

async function sha256Hex(text: string): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}

describe('a latency table', () => {
  it('is published under the SHA-256 of its canonical JSON, whatever the order of its members', async () => {
    const table = makeTable(space, { name: 'canonical' })
    const { version } = await publish(table)
    expect(version).toBe(await sha256Hex(sortedJson(table)))
    const reversed = Object.fromEntries(
      Object.entries({ ...table, entries: Object.fromEntries(Object.entries(table.entries).toReversed()) }).toReversed(),
    )
    expect((await publish(reversed)).version).toBe(version)
    const other = { ...table, fixedMs: 0.5 }
    expect((await publish(other)).version).toBe(await sha256Hex(sortedJson(other)))
  })

  it('can be read by name, as published last, and by version, for ever', async () => {
    const first = makeTable(space, { name: 'twice' })
    const second = { ...first, fixedMs: 3 }
    const { version } = await publish(first)
    expect(await expectJson(call('GET', '/v1/latency-tables/twice'))).toEqual(first)
    await publish(second)
    expect(await expectJson(call('GET', '/v1/latency-tables/twice'))).toEqual(second)
    expect(await expectJson(call('GET', `/v1/latency-tables/twice/${version}`))).toEqual(first)
  })

  it('is listed with its last version, without its entries', async () => {
    const table = makeTable(space, { name: 'listed', batch: 4 })
    await publish(table)
    const { version } = await publish({ ...table, fixedMs: 1 })
    const { tables } = (await expectJson(call('GET', '/v1/latency-tables'))) as { tables: unknown[] }
    const summaries = tables.map((summary) => tableSummarySchema.strict().parse(summary)).filter(({ name }) => name === 'listed')
    expect(summaries).toEqual([
      {
        name: 'listed',
        version,
        device: 'test device',
        runtime: 'test runtime',
        batch: 4,
        entries: Object.keys(table.entries).length,
        publishedAtMs: expect.any(Number) as number,
      },
    ])
  })

  it('may have names of any script and full length: the list shows them shortened, the table whole', async () => {
    const table = makeTable(space, { name: 'long-names', device: { name: '測'.repeat(200) }, runtime: { name: '\u0000'.repeat(200) } })
    await publish(table)
    expect(await expectJson(call('GET', '/v1/latency-tables/long-names'))).toEqual(table)
    const { tables } = (await expectJson(call('GET', '/v1/latency-tables'))) as { tables: { name: string; device: string }[] }
    expect(tables.find(({ name }) => name === 'long-names')?.device).toMatch(/^測{90,}\.\.\.$/)
  })

  it('that is unknown is a 404, by name and by version', async () => {
    await publish(makeTable(space, { name: 'known' }))
    await expectProblem(call('GET', '/v1/latency-tables/unknown'), 404)
    await expectProblem(call('GET', `/v1/latency-tables/known/${'0'.repeat(64)}`), 404)
  })

  it.each([
    ['a negative latency', { entries: { k: { meanMs: -1, stdMs: 0, count: 1 } } }, 'entries.k.meanMs'],
    ['no entries', { entries: {} }, 'entries'],
    ['a name that is no key', { name: '../x' }, 'name'],
    ['an unknown field', { colour: 'red' }, 'colour'],
  ])('is refused, the field named, and not stored: %s', async (_, changes, path) => {
    const problem = await expectProblem(
      call('POST', '/v1/latency-tables', { json: { ...makeTable(space, { name: 'refused-table' }), ...changes } }),
      400,
    )
    expect(problem.errors.map((error) => error.path)).toEqual([path])
    expect((await env.LATENCY_TABLES.list({ prefix: 'pointer:refused-table' })).keys).toEqual([])
  })
})

describe('a latency table that KV answers late', () => {
  const createOn = (tableName: string) => call('POST', '/v1/searches', { json: makeConfigInput({ tableName }) })

  it('is pinned as published last, though the pointer still names the version before', async () => {
    const table = makeTable(space, { name: 'late-pointer' })
    const first = await publish(table)
    const late = await env.LATENCY_TABLES.getWithMetadata('pointer:late-pointer')
    const second = await publish({ ...table, fixedMs: 100 })
    await env.LATENCY_TABLES.put('pointer:late-pointer', late.value ?? '', { metadata: late.metadata })
    expect(JSON.parse(late.value ?? '')).toEqual({ version: first.version })
    expect(await expectJson(createOn('late-pointer'), 201)).toMatchObject({ tableVersion: second.version })
    const { tables } = (await expectJson(call('GET', '/v1/latency-tables'))) as { tables: { name: string; version: string }[] }
    expect(tables.find(({ name }) => name === 'late-pointer')?.version).toBe(second.version)
  })

  it('whose last version has not arrived is refused with that version, not taken in an older one', async () => {
    const table = makeTable(space, { name: 'late-table' })
    const first = await publish(table)
    const second = await publish({ ...table, fixedMs: 100 })
    await env.LATENCY_TABLES.delete(`table:late-table:${second.version}`)
    const problem = await expectProblem(createOn('late-table'), 409, 'conflict')
    expect(problem.detail).toContain(second.version)
    expect(problem.errors.map(({ path }) => path)).toEqual(['latency.table'])
    expect(await expectJson(call('GET', `/v1/latency-tables/late-table/${first.version}`))).toEqual(table)
  })
})

describe('a latency table that is deleted', () => {
  const names = async () =>
    ((await expectJson(call('GET', '/v1/latency-tables'))) as { tables: { name: string }[] }).tables.map(({ name }) => name)

  it('is gone in every version, also where KV still has it; searches keep their copy; it can be published again', async () => {
    const search = await createTestSearch({ tableName: 'deleted' })
    const before = await readStatus(search)
    const { version } = before.latencyTable
    const second = await publish(makeTable(space, { name: 'deleted', fixedMs: 100 }))
    const stored = await env.LATENCY_TABLES.get(`table:deleted:${version}`)
    const answer = (await expectJson(call('DELETE', '/v1/latency-tables/deleted'))) as { name: string; versions: string[] }
    expect({ ...answer, versions: answer.versions.toSorted() }).toEqual({ name: 'deleted', versions: [version, second.version].toSorted() })
    await env.LATENCY_TABLES.put(`table:deleted:${version}`, stored ?? '')
    await env.LATENCY_TABLES.put('pointer:deleted', JSON.stringify({ version }))
    for (const path of ['deleted', `deleted/${version}`]) await expectProblem(call('GET', `/v1/latency-tables/${path}`), 404)
    await expectProblem(call('POST', '/v1/searches', { json: makeConfigInput({ tableName: 'deleted' }) }), 404)
    expect(await names()).not.toContain('deleted')
    expect(await readStatus(search)).toEqual(before)
    await env.LATENCY_TABLES.delete(`table:deleted:${version}`)
    await expectProblem(call('DELETE', '/v1/latency-tables/deleted'), 404)
    const again = await publish(makeTable(space, { name: 'deleted', fixedMs: 100 }))
    expect(again.version).toBe(second.version)
    expect(await names()).toContain('deleted')
  })

  it('in one version stands for the one before', async () => {
    const table = makeTable(space, { name: 'one-deleted' })
    await publish(table)
    const { version } = await publish({ ...table, fixedMs: 100 })
    await expectJson(call('DELETE', `/v1/latency-tables/one-deleted/${version}`))
    await expectProblem(call('GET', `/v1/latency-tables/one-deleted/${version}`), 404)
    expect(await expectJson(call('GET', '/v1/latency-tables/one-deleted'))).toEqual(table)
    await expectProblem(call('DELETE', '/v1/latency-tables/never-published'), 404)
  })
})

describe('a search', () => {
  it('keeps the version that it started with when another is published', async () => {
    const search = await createTestSearch({ tableName: 'pinned' })
    const before = await readStatus(search)
    await publish(makeTable(space, { name: 'pinned', fixedMs: 100 }))
    expect(await readStatus(search)).toEqual(before)
    const later = (await expectJson(call('POST', '/v1/searches', { json: makeConfigInput({ tableName: 'pinned' }) }), 201)) as {
      expectedLatencyMs: number
      tableVersion: string
    }
    expect(later.tableVersion).not.toBe(before.latencyTable.version)
    expect(later.expectedLatencyMs).toBeCloseTo(distributionOf(before).expectedLatencyMs + 100, 6)
  })

  it('takes an older version where it names one', async () => {
    const { version } = await publish(makeTable(space, { name: 'older' }))
    await publish(makeTable(space, { name: 'older', fixedMs: 100 }))
    const input = makeConfigInput({ tableName: 'older' })
    const named = { ...input, latency: { ...input.latency, table: { name: 'older', version } } }
    expect(await expectJson(call('POST', '/v1/searches', { json: named }), 201)).toMatchObject({ tableVersion: version })
    const unknown = { ...input, latency: { ...input.latency, table: { name: 'older', version: '0'.repeat(64) } } }
    await expectProblem(call('POST', '/v1/searches', { json: unknown }), 404)
  })
})

describe('a search with latency.missing', () => {
  // Blocks of different sizes, so that a table of them says something about others.
  const variedRef: SpaceRef = {
    preset: 'fashion-mini',
    name: 'varied',
    stages: [8, 16, 24].map((width, index) => ({ width, cells: 2, stride: index === 0 ? 1 : 2 })),
    kernels: [3],
    expansions: [2, 3, 6],
  }
  const varied = createSpace(variedRef)
  const variedBlocks = mbconvBlocks(variedRef)
  const keys = varied.measurableOperations().map(({ latencyKey }) => latencyKey)
  const costs = new Map(varied.measurableOperations().map(({ latencyKey, macs }) => [latencyKey, 1 + macs / 1e6]))
  const entriesOf = (chosen: readonly string[]) =>
    Object.fromEntries(chosen.map((key) => [key, { meanMs: costs.get(key) ?? Number.NaN, stdMs: 0.1, count: 10 }]))
  const tableOf = (name: string, chosen: readonly string[]) => makeTable(varied, { name, entries: entriesOf(chosen) })
  const isBlock = (key: string) => key.startsWith('expanded_conv')
  const missing = keys.filter(isBlock).filter((_, index) => index % 6 === 1)
  const holes = keys.filter((key) => !missing.includes(key))
  const create = async (tableName: string, wanted?: 'refuse' | 'predict') => {
    const input = makeConfigInput({ tableName, space: variedRef })
    return call('POST', '/v1/searches', {
      json: { ...input, latency: { ...input.latency, ...(wanted === undefined ? {} : { missing: wanted }) } },
    })
  }
  const statusOf = async (searchId: string) => searchStatusSchema.parse(await expectJson(call('GET', `/v1/searches/${searchId}`)))
  const created = async (response: Promise<Response>) =>
    (await expectJson(response, 201)) as { searchId: string; expectedLatencyMs: number }

  it('refuse, the default, is refused and names what the table lacks', async () => {
    await publish(tableOf('holes-refused', holes))
    for (const wanted of [undefined, 'refuse'] as const) {
      const problem = await expectProblem(create('holes-refused', wanted), 422, 'missing-latencies')
      expect(problem.errors.map(({ path }) => path).toSorted()).toEqual(missing.map((key) => `entries.${key}`).toSorted())
    }
  })

  it('predict starts, and every predicted figure is marked in its status', async () => {
    await publish(tableOf('holes-predicted', holes))
    await publish(tableOf('no-holes', keys))
    const search = await created(create('holes-predicted', 'predict'))
    const whole = await created(create('no-holes', 'predict'))
    expect(search.expectedLatencyMs / whole.expectedLatencyMs).toBeCloseTo(1, 1)
    const { latencyTable, current, config } = await statusOf(search.searchId)
    expect(config.latency.missing).toBe('predict')
    expect(latencyTable.predicted).toEqual({
      count: missing.length,
      rmseMs: expect.any(Number) as number,
      mapePct: expect.any(Number) as number,
    })
    expect(latencyTable.predicted?.mapePct).toBeLessThan(10)
    for (const [index, { operation, predicted }] of current.blocks.entries()) {
      const key = variedBlocks[index]?.operations.find(({ name }) => name === operation)?.latencyKey
      expect(predicted === true).toBe(missing.includes(key ?? ''))
    }
    expect(await created(create('holes-predicted', 'predict'))).toMatchObject({ expectedLatencyMs: search.expectedLatencyMs })
  })

  it('predict marks nothing where everything was measured', async () => {
    await publish(tableOf('whole', keys))
    const { searchId } = await created(create('whole', 'predict'))
    const { latencyTable, current } = await statusOf(searchId)
    expect(latencyTable).not.toHaveProperty('predicted')
    for (const block of current.blocks) expect(block).not.toHaveProperty('predicted')
  })

  it('refuse takes a table whose entries were predicted before it was published, and marks them', async () => {
    const guess = { meanMs: 2, stdMs: 0, count: 0, predicted: { rmseMs: 0.5, mapePct: 4 } }
    const entries = { ...entriesOf(holes), ...Object.fromEntries(missing.map((key) => [key, guess])) }
    await publish(makeTable(varied, { name: 'filled-before', entries }))
    const { searchId } = await created(create('filled-before', 'refuse'))
    expect((await statusOf(searchId)).latencyTable.predicted).toEqual({ count: missing.length, rmseMs: 0.5, mapePct: 4 })
  })

  it('predict is refused where the table has too little of a type, and the keys are named', async () => {
    const [stem = ''] = keys
    await publish(tableOf('stemless', keys.slice(1)))
    const problem = await expectProblem(create('stemless', 'predict'), 422, 'missing-latencies')
    expect(problem.errors).toEqual([
      { path: `entries.${stem}`, message: expect.stringContaining('0 measured entries of type Conv') as string },
    ])
    await publish(
      tableOf(
        'few-blocks',
        keys.filter((key, index) => !isBlock(key) || index % 6 === 1),
      ),
    )
    const few = await expectProblem(create('few-blocks', 'predict'), 422, 'missing-latencies')
    expect(few.detail).toContain('cannot be predicted')
    expect(few.errors.length).toBeGreaterThan(3)
  })
})
