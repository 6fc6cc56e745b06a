// Latency tables in KV: an immutable version per content hash, a pointer per name. docs/storage.md lists the keys.
// A read may be a minute stale and misses are cached too, so a version just published may be missing elsewhere; a version
// that is found is always whole and never changes. Which version a name stands for, and which are deleted, the directory says (table-versions.ts);
// pointers count for tables that were published before it did, and for a coordinator of an earlier version.

import type { LatencyTable } from '../../latency-lut/table/table.ts'
import { type Outcome, ProblemError, type TableSummary, type UnreadableTable, unwrap } from '../../protocol/index.ts'
import { describeFirst, readStored } from '../../rules/stored/stored-form.ts'
import type { NamedVersion } from './table-versions.ts'
import { readStoredTable, storedPointerSchema, storedSummarySchema, TABLE_FORM } from './stored-table.ts'

/** KV metadata holds 1024 bytes of JSON; two names of this many leave room for the rest of a summary. */
const MAX_SHOWN_BYTES = 300

/** Text whose JSON has at most MAX_SHOWN_BYTES; the table itself keeps it whole. */
function shorten(text: string): string {
  const bytes = (candidate: string) => new TextEncoder().encode(JSON.stringify(candidate)).length
  if (bytes(text) <= MAX_SHOWN_BYTES) return text
  let kept = ''
  for (const character of text) {
    if (bytes(`${kept}${character}...`) > MAX_SHOWN_BYTES) break
    kept += character
  }
  return `${kept}...`
}

const POINTER = 'pointer:'

type LatencyTables = {
  publish(table: LatencyTable, version: string, nowMs: number): Promise<void>
  /**
   * The version, by default the one published last; null where there is none. Throws ProblemError `unreadable`, or `conflict` where the one
   * published last has not arrived here yet.
   */
  read(name: string, version?: string): Promise<(LatencyTable & { version: string }) | null>
  /** Deletes a version, by default all of them; which they were. */
  remove(name: string, version?: string): Promise<string[]>
  list(): Promise<{ readonly tables: TableSummary[]; readonly unreadable: UnreadableTable[] }>
}

/** Of the directory that lists versions of tables. */
type VersionsPort = {
  findTable(name: string, version: string | null): Promise<Outcome<{ latest: NamedVersion; isDeleted: boolean }>>
  publishTable(summary: TableSummary): Promise<Outcome<null>>
  removeTable(name: string, version: string | null): Promise<Outcome<null>>
  listTables(): Promise<Outcome<{ tables: TableSummary[]; deleted: string[] }>>
}

function createLatencyTables(kv: KVNamespace, directory: () => VersionsPort): LatencyTables {
  const tableKey = (name: string, version: string) => `table:${name}:${version}`

  async function pointedAt(name: string): Promise<string | null> {
    const pointer = await kv.get(`${POINTER}${name}`)
    return pointer === null ? null : readStored(storedPointerSchema, pointer, `the last version of table ${name}`).version
  }

  /** Keys of all that begin so. */
  async function keysFrom(prefix: string): Promise<KVNamespaceListKey<unknown, string>[]> {
    const keys: KVNamespaceListKey<unknown, string>[] = []
    let cursor: string | undefined
    do {
      const page: KVNamespaceListResult<unknown, string> = await kv.list({ prefix, cursor })
      keys.push(...page.keys)
      cursor = page.list_complete ? undefined : page.cursor
    } while (cursor !== undefined)
    return keys
  }

  return {
    async publish(table, version, nowMs) {
      const summary: TableSummary = {
        name: table.name,
        version,
        device: shorten(table.device.name),
        runtime: shorten(table.runtime.name),
        batch: table.batch,
        entries: Object.keys(table.entries).length,
        publishedAtMs: nowMs,
      }
      // The table first: nothing names what is not there yet.
      await kv.put(tableKey(table.name, version), JSON.stringify(table), { metadata: { form: TABLE_FORM } })
      await kv.put(`${POINTER}${table.name}`, JSON.stringify({ version }), { metadata: summary })
      unwrap(await directory().publishTable(summary))
    },
    async read(name, wanted) {
      const { latest, isDeleted } = unwrap(await directory().findTable(name, wanted ?? null))
      if (isDeleted || (wanted === undefined && latest.kind === 'deleted')) return null
      const version = wanted ?? (latest.kind === 'published' ? latest.version : await pointedAt(name))
      if (version === null) return null
      const { value, metadata } = await kv.getWithMetadata(tableKey(name, version))
      if (value !== null) return { ...readStoredTable(value, metadata, `table ${name}@${version}`), version }
      if (latest.kind !== 'published' || latest.version !== version) return null
      throw new ProblemError(
        'conflict',
        `version ${version} of latency table ${name}, the one published last, has not arrived here yet, which takes up to a minute; try again, or publish it again where it never comes`,
        [{ path: 'latency.table', message: `version ${version} is on its way` }],
      )
    },
    async remove(name, wanted) {
      const prefix = tableKey(name, '')
      const keys = (await keysFrom(prefix)).map((key) => key.name)
      const deleted = wanted === undefined ? keys : keys.filter((key) => key === tableKey(name, wanted))
      if (deleted.length === 0) return []
      // First what says that they are gone: what is cut short then can be repeated.
      unwrap(await directory().removeTable(name, wanted ?? null))
      const isPointedAt = wanted === undefined || (await pointedAt(name)) === wanted
      const { latest } = unwrap(await directory().findTable(name, null))
      if (isPointedAt && latest.kind === 'published') await kv.put(`${POINTER}${name}`, JSON.stringify({ version: latest.version }))
      else if (isPointedAt) await kv.delete(`${POINTER}${name}`)
      await Promise.all(deleted.map((key) => kv.delete(key)))
      return deleted.map((key) => key.slice(prefix.length))
    },
    async list() {
      const known = unwrap(await directory().listTables())
      const names = new Set([...known.tables.map(({ name }) => name), ...known.deleted])
      const tables = [...known.tables]
      const unreadable: UnreadableTable[] = []
      for (const { name: key, metadata } of await keysFrom(POINTER)) {
        const name = key.slice(POINTER.length)
        if (names.has(name)) continue
        const parsed = storedSummarySchema.safeParse(metadata)
        if (parsed.success) tables.push(parsed.data)
        else unreadable.push({ name, reason: describeFirst(parsed.error) })
      }
      return { tables: tables.toSorted((a, b) => (a.name < b.name ? -1 : 1)), unreadable }
    },
  }
}

export { createLatencyTables, type LatencyTables, type VersionsPort }
