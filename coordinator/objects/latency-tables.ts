// Latency tables in KV: an immutable version per content hash, a pointer per name. docs/storage.md lists the keys.
// A read may be a minute stale and misses are cached too, so a version just published may be missing elsewhere; a version
// that is found is always whole and never changes.

import type { LatencyTable } from '../../latency-lut/table/table.ts'
import type { TableSummary, UnreadableTable } from '../../protocol/index.ts'
import { describeFirst, readStored } from '../../rules/stored/stored-form.ts'
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
  /** The version, by default the one published last; null where there is none. Throws ProblemError `unreadable`. */
  read(name: string, version?: string): Promise<(LatencyTable & { version: string }) | null>
  list(): Promise<{ readonly tables: TableSummary[]; readonly unreadable: UnreadableTable[] }>
}

function createLatencyTables(kv: KVNamespace): LatencyTables {
  const tableKey = (name: string, version: string) => `table:${name}:${version}`
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
      // The table first: a pointer never names what is not there yet.
      await kv.put(tableKey(table.name, version), JSON.stringify(table), { metadata: { form: TABLE_FORM } })
      await kv.put(`${POINTER}${table.name}`, JSON.stringify({ version }), { metadata: summary })
    },
    async read(name, wanted) {
      let version = wanted
      if (version === undefined) {
        const pointer = await kv.get(`${POINTER}${name}`)
        if (pointer === null) return null
        version = readStored(storedPointerSchema, pointer, `the last version of table ${name}`).version
      }
      const { value, metadata } = await kv.getWithMetadata(tableKey(name, version))
      return value === null ? null : { ...readStoredTable(value, metadata, `table ${name}@${version}`), version }
    },
    async list() {
      const tables: TableSummary[] = []
      const unreadable: UnreadableTable[] = []
      let cursor: string | undefined
      do {
        const page: KVNamespaceListResult<unknown, string> = await kv.list({ prefix: POINTER, cursor })
        for (const { name, metadata } of page.keys) {
          const parsed = storedSummarySchema.safeParse(metadata)
          if (parsed.success) tables.push(parsed.data)
          else unreadable.push({ name: name.slice(POINTER.length), reason: describeFirst(parsed.error) })
        }
        cursor = page.list_complete ? undefined : page.cursor
      } while (cursor !== undefined)
      return { tables, unreadable }
    },
  }
}

export { createLatencyTables, type LatencyTables }
