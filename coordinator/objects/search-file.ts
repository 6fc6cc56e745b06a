// A search's own rows as they leave for a file and come from one. An import is made of an object that has rows and no setup yet: nothing but
// more rows, its end, and a deletion reaches it. Its end checks everything that a search of this coordinator would have checked.

import * as z from 'zod'
import { invalidField, MAX_METRICS_PAGE, ProblemError, type RowPage } from '../../protocol/index.ts'
import { lastSeq, type OpenSearch } from '../../rules/search/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { hasTable } from './stored.ts'
import type { TableKey } from './table-rows.ts'

/** What a search is made of. Its tokens are none of the file: they are good for its id. Nor are its snapshots: it is what it is now. */
const searchTables: readonly TableKey[] = [
  { table: 'search', key: 'id' },
  { table: 'state', key: 'id' },
  { table: 'outstanding', key: 'task_id' },
  { table: 'agents', key: 'agent_id' },
  { table: 'log', key: 'seq' },
  { table: 'strategy_rows', key: 'key' },
  { table: 'trial_files', key: 'trial' },
  { table: 'chunks', key: 'row' },
]
const shardTables: readonly TableKey[] = [
  { table: 'shard', key: 'id' },
  { table: 'segments', key: 'row' },
  { table: 'applied', key: 'task_id' },
  { table: 'rollbacks', key: 'id' },
]

/** Throws ProblemError `conflict` while anything may still change by itself. */
function checkStill({ store }: OpenSearch): void {
  const { intent, finishedAtMs, isRollingBack } = store.readState()
  if (isRollingBack) throw new ProblemError('conflict', 'this search is being taken back to a snapshot; wait until it is')
  const leased = store.outstandingTasks().filter(({ lease }) => lease !== null).length
  if (intent === 'running' && finishedAtMs === null)
    throw new ProblemError('conflict', 'this search is running; pause it before it is exported')
  if (leased > 0 && finishedAtMs === null) {
    throw new ProblemError('conflict', `${leased} tasks of this search are still handed out; wait until their results have come`)
  }
}

/** Another one after every change of a search that is still: its state has counts of everything that happens. */
async function revisionOf(values: readonly unknown[]): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(values)))
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const setupSchema = z.looseObject({})

/** Rows of the table `search` or `shard` with other fields in their setup. Throws ProblemError `invalid-request` where they are none. */
function withSetup(page: RowPage, fields: object): RowPage {
  const rows = page.rows.map((row) => {
    const setup = readStored(setupSchema, String(row['setup']), `table ${page.table}, setup`)
    return { ...row, setup: JSON.stringify({ ...setup, ...fields }) }
  })
  return { ...page, rows }
}

const importSchema = z.strictObject({ searchId: z.string(), createdAtMs: z.int(), shards: z.int(), setup: z.string().nullable() })
/** What is known of an import until it ends. `setup`: that of the search, once it has come. */
type Import = z.infer<typeof importSchema>

function writeImport(sql: SqlStorage, known: Import): void {
  sql.exec('CREATE TABLE IF NOT EXISTS import (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)')
  sql.exec('INSERT OR REPLACE INTO import (id, json) VALUES (1, ?)', JSON.stringify(known))
}

/** Null where there is none. */
function findImport(sql: SqlStorage): Import | null {
  if (!hasTable(sql, 'import')) return null
  return readStored(importSchema, sql.exec<{ json: string }>('SELECT json FROM import').one().json, 'the import')
}

/** Throws ProblemError `not-found`. */
function readImport(sql: SqlStorage): Import {
  const found = findImport(sql)
  if (!found) throw new ProblemError('not-found', 'there is no import under way here')
  return found
}

function endImport(sql: SqlStorage): void {
  sql.exec('DROP TABLE import')
}

/** Throws ProblemError `invalid-request` for a form that only a newer version knows. */
function checkForm(path: string, form: number, newest: number): void {
  if (form > newest) throw invalidField(path, `a newer version wrote form ${form}, and this one knows forms up to ${newest}`)
}

/** Reads all of an imported search. Throws ProblemError `unreadable` or `invalid-request`, which names what is wrong. */
function checkImported({ store }: OpenSearch): void {
  const { counts, finishedAtMs } = store.readState()
  const expected = lastSeq(counts)
  let last = 0
  for (;;) {
    const page = store.readLog(last, MAX_METRICS_PAGE)
    if (page.length === 0) break
    for (const { seq } of page) {
      if (seq !== last + 1) throw invalidField('log', `result ${last + 1} is missing`)
      last = seq
    }
  }
  if (last !== expected) throw invalidField('log', `expected ${expected} results, as the state counts them, got ${last}`)
  for (const { taskId, lease } of store.outstandingTasks()) {
    if (lease !== null && finishedAtMs === null) throw invalidField('outstanding', `task ${taskId} is handed out`)
  }
}

export {
  checkForm,
  checkImported,
  checkStill,
  endImport,
  findImport,
  readImport,
  revisionOf,
  searchTables,
  shardTables,
  withSetup,
  writeImport,
}
