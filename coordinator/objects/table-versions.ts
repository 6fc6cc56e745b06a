// Which versions of latency tables there are. KV, which has the tables themselves, may answer a minute late; these rows never do, so that a
// search pins the version that was published last and not the one before.

import type { TableSummary } from '../../protocol/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { storedSummarySchema } from './stored-table.ts'

/** In place of a version, for a name that was deleted as a whole, with versions that nobody noted. */
const ALL_VERSIONS = ''

type VersionRow = { name: string; version: string; published_at_ms: number; summary: string | null }

/** What is known of a name: nothing, or which version it stands for, if any is left. */
type NamedVersion = { readonly kind: 'unknown' } | { readonly kind: 'deleted' } | { readonly kind: 'published'; readonly version: string }

type TableVersions = {
  /** The version becomes the one that its name stands for. */
  publish(summary: TableSummary): void
  /** Marks a version as deleted, or all of a name. */
  remove(name: string, version: string | null): void
  latest(name: string): NamedVersion
  isDeleted(name: string, version: string): boolean
  /** The version that each name stands for, and the names that were deleted. */
  list(): { readonly tables: TableSummary[]; readonly deleted: string[] }
}

/** In a directory object whose tables are there. A version that was deleted is a row without summary. */
function createTableVersions(sql: SqlStorage): TableVersions {
  const rowsOf = (name: string) => sql.exec<VersionRow>('SELECT * FROM table_versions WHERE name = ?', name).toArray()
  const newest = (rows: readonly VersionRow[]) =>
    rows.filter(({ summary }) => summary !== null).toSorted((a, b) => b.published_at_ms - a.published_at_ms)[0]
  const put = (name: string, version: string, publishedAtMs: number, summary: string | null) =>
    sql.exec(
      'INSERT OR REPLACE INTO table_versions (name, version, published_at_ms, summary) VALUES (?, ?, ?, ?)',
      name,
      version,
      publishedAtMs,
      summary,
    )
  return {
    publish(summary) {
      const { name, version, publishedAtMs } = summary
      // The clocks of two Workers may differ: what is published last is newest all the same.
      const after = Math.max(0, ...rowsOf(name).map((row) => row.published_at_ms + 1))
      put(name, version, Math.max(publishedAtMs, after), JSON.stringify(summary))
      sql.exec('DELETE FROM table_versions WHERE name = ? AND version = ?', name, ALL_VERSIONS)
    },
    remove(name, version) {
      const versions = version === null ? [ALL_VERSIONS, ...rowsOf(name).map((row) => row.version)] : [version]
      for (const deleted of versions) put(name, deleted, 0, null)
    },
    latest(name) {
      const rows = rowsOf(name)
      const last = newest(rows)
      if (last) return { kind: 'published', version: last.version }
      return { kind: rows.length > 0 ? 'deleted' : 'unknown' }
    },
    isDeleted(name, version) {
      const rows = rowsOf(name)
      const row = rows.find((candidate) => candidate.version === version) ?? rows.find((candidate) => candidate.version === ALL_VERSIONS)
      return row?.summary === null
    },
    list() {
      const names = sql.exec<{ name: string }>('SELECT DISTINCT name FROM table_versions ORDER BY name').toArray()
      const tables: TableSummary[] = []
      const deleted: string[] = []
      for (const { name } of names) {
        const last = newest(rowsOf(name))
        if (last) tables.push(readStored(storedSummarySchema, last.summary ?? '', `the last version of table ${name}`))
        else deleted.push(name)
      }
      return { tables, deleted }
    },
  }
}

export { createTableVersions, type NamedVersion }
