import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { tableSummarySchema } from '../../coordinator/protocol/index.ts'
import { createSpace } from '../../search-space/index.ts'
import { makeConfigInput, makeSpaceRef, makeTable } from '../fixtures/searches.ts'
import { call, createTestSearch, expectJson, expectProblem, readStatus } from './api.ts'

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
    expect(later.expectedLatencyMs).toBeCloseTo(before.expectedLatencyMs + 100, 6)
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
