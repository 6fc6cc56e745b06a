// Latency tables in KV: an immutable version per content hash, a pointer per name. docs/storage.md lists the keys.
// A read may be a minute stale and misses are cached too, so a version just published may be missing elsewhere; a version
// that is found is always whole and never changes.

import * as z from 'zod'
import { type LatencyTable, latencyTableSchema, tableVersionSchema } from '../../latency-lut/table/table.ts'
import { type TableSummary, tableSummarySchema } from '../../protocol/index.ts'

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

const pointerSchema = z.strictObject({ version: tableVersionSchema })

type LatencyTables = {
  publish(table: LatencyTable, version: string, nowMs: number): Promise<void>
  /** The version, by default the one published last; null where there is none. */
  read(name: string, version?: string): Promise<(LatencyTable & { version: string }) | null>
  list(): Promise<TableSummary[]>
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
      await kv.put(tableKey(table.name, version), JSON.stringify(table))
      await kv.put(`pointer:${table.name}`, JSON.stringify({ version }), { metadata: summary })
    },
    async read(name, wanted) {
      let version = wanted
      if (version === undefined) {
        const pointer = await kv.get(`pointer:${name}`)
        if (pointer === null) return null
        version = pointerSchema.parse(JSON.parse(pointer)).version
      }
      const text = await kv.get(tableKey(name, version))
      return text === null ? null : { ...latencyTableSchema.parse(JSON.parse(text)), version }
    },
    async list() {
      const tables: TableSummary[] = []
      let cursor: string | undefined
      do {
        const page: KVNamespaceListResult<unknown, string> = await kv.list({ prefix: 'pointer:', cursor })
        tables.push(...page.keys.map((key) => tableSummarySchema.parse(key.metadata)))
        cursor = page.list_complete ? undefined : page.cursor
      } while (cursor !== undefined)
      return tables
    },
  }
}

export { createLatencyTables, type LatencyTables }
