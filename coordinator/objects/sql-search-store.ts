// A search's store in a Durable Object's SQLite. docs/storage.md lists the tables.
//
// Rows written are what costs, so what changes together is one row, and a task that ends leaves the small table of
// outstanding ones instead of being marked. What the rules read at every call is kept in memory too; a transaction
// that fails after it has written drops that copy. Stored JSON is parsed with its schema when it is read from disk, never on the hot path; what does
// not fit it is ProblemError `unreadable`.

import * as z from 'zod'
import { type LogEntry, MAX_LOG_PAGE_BYTES, type Metric } from '../../protocol/index.ts'
import {
  type AgentRecord,
  agentRecordSchema,
  type OutstandingTask,
  outstandingTaskSchema,
  type SearchSetup,
  searchSetupSchema,
  type SearchState,
  searchStateSchema,
  type SearchStore,
  storedLogEntrySchema,
  storedMetricSchema,
  type StoredSnapshot,
  storedSnapshotSchema,
  type TrialFiles,
  trialFilesSchema,
} from '../../rules/search/index.ts'
import { AFTER_ALL, rowText } from '../../strategies/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { createCachedTransactions } from './cached-transactions.ts'
import { createSqlBlobs } from './sql-blobs.ts'

type Cache = {
  setup?: SearchSetup | null
  state?: SearchState
  outstanding?: Map<number, OutstandingTask>
  agents?: Map<string, AgentRecord>
  trialFiles?: Map<number, TrialFiles>
  snapshots?: Map<number, StoredSnapshot>
}

type JsonRow = { json: string }

const readRow = (key: string, text: string): unknown => readStored(z.unknown(), text, `row ${key} of the strategy`)

/** In an object whose tables are there (migrations/search.ts). */
function createSqlSearchStore(storage: DurableObjectStorage): SearchStore {
  const { sql } = storage
  let cache: Cache = {}
  const { transaction, write } = createCachedTransactions(storage, () => {
    cache = {}
  })

  /** What a table holds, by the key of each row; `query` selects `key` and `json`. */
  const readAll = <Key extends string | number, Schema extends z.ZodType>(query: string, schema: Schema, nameOf: (key: Key) => string) =>
    new Map(
      sql
        .exec<JsonRow & { key: Key }>(query)
        .toArray()
        .map(({ key, json }) => [key, readStored(schema, json, nameOf(key))] as const),
    )
  const outstanding = (): Map<number, OutstandingTask> => {
    const query = 'SELECT task_id AS key, json FROM outstanding ORDER BY task_id'
    cache.outstanding ??= readAll(query, outstandingTaskSchema, (key: number) => `task ${key}`)
    return cache.outstanding
  }
  const agents = (): Map<string, AgentRecord> => {
    const query = 'SELECT agent_id AS key, json FROM agents'
    cache.agents ??= readAll(query, agentRecordSchema, (key: string) => `agent ${key}`)
    return cache.agents
  }
  const trialFiles = (): Map<number, TrialFiles> => {
    const query = 'SELECT trial AS key, json FROM trial_files ORDER BY trial'
    cache.trialFiles ??= readAll(query, trialFilesSchema, (key: number) => `files of trial ${key}`)
    return cache.trialFiles
  }
  const snapshots = (): Map<number, StoredSnapshot> => {
    const query = 'SELECT number AS key, json FROM snapshots'
    cache.snapshots ??= readAll(query, storedSnapshotSchema, (key: number) => `snapshot ${key}`)
    return cache.snapshots
  }

  return {
    transaction,
    ...createSqlBlobs(sql, write),
    readSetup() {
      if (cache.setup === undefined) {
        const row = sql.exec<{ setup: string }>('SELECT setup FROM search').toArray()[0]
        cache.setup = row ? readStored(searchSetupSchema, row.setup, 'the setup') : null
      }
      return cache.setup
    },
    writeSetup(setup) {
      write('INSERT OR REPLACE INTO search (id, setup) VALUES (1, ?)', JSON.stringify(setup))
      cache.setup = setup
    },
    readState() {
      cache.state ??= readStored(searchStateSchema, sql.exec<JsonRow>('SELECT json FROM state').one().json, 'the state')
      return cache.state
    },
    writeState(state) {
      write('INSERT OR REPLACE INTO state (id, json) VALUES (1, ?)', JSON.stringify(state))
      cache.state = state
    },
    outstandingTasks: () => [...outstanding().values()].toSorted((a, b) => a.taskId - b.taskId),
    writeOutstanding(task) {
      write('INSERT OR REPLACE INTO outstanding (task_id, json) VALUES (?, ?)', task.taskId, JSON.stringify(task))
      outstanding().set(task.taskId, task)
    },
    removeOutstanding(taskId) {
      write('DELETE FROM outstanding WHERE task_id = ?', taskId)
      outstanding().delete(taskId)
    },
    trialFiles: () => [...trialFiles().values()].toSorted((a, b) => a.trial - b.trial),
    writeTrialFiles(files) {
      write('INSERT OR REPLACE INTO trial_files (trial, json) VALUES (?, ?)', files.trial, JSON.stringify(files))
      trialFiles().set(files.trial, files)
    },
    removeTrialFiles(trial) {
      write('DELETE FROM trial_files WHERE trial = ?', trial)
      trialFiles().delete(trial)
    },
    readAgent: (agentId) => agents().get(agentId) ?? null,
    writeAgent(agent) {
      write('INSERT OR REPLACE INTO agents (agent_id, json) VALUES (?, ?)', agent.agentId, JSON.stringify(agent))
      agents().set(agent.agentId, agent)
    },
    removeAgent(agentId) {
      write('DELETE FROM agents WHERE agent_id = ?', agentId)
      agents().delete(agentId)
    },
    agents: () => [...agents().values()].toSorted((a, b) => a.registeredAtMs - b.registeredAtMs),
    appendLog(entry) {
      write('INSERT INTO log (seq, json) VALUES (?, ?)', entry.seq, JSON.stringify(entry))
    },
    replaceLog(entry) {
      write('UPDATE log SET json = ? WHERE seq = ?', JSON.stringify(entry), entry.seq)
    },
    markRolledBack(after, rollback) {
      // Within SQLite: the rest of an entry keeps its bytes, and none of them has to be parsed.
      write(
        "UPDATE log SET json = json_set(json, '$.rolledBack', CAST(? AS INTEGER)) WHERE seq > ? AND json_extract(json, '$.rolledBack') IS NULL",
        rollback,
        after,
      )
    },
    snapshots: () => [...snapshots().values()].toSorted((a, b) => a.number - b.number),
    writeSnapshot(snapshot) {
      write('INSERT OR REPLACE INTO snapshots (number, json) VALUES (?, ?)', snapshot.number, JSON.stringify(snapshot))
      snapshots().set(snapshot.number, snapshot)
    },
    removeSnapshot(number) {
      write('DELETE FROM snapshots WHERE number = ?', number)
      write('DELETE FROM snapshot_parts WHERE snapshot = ?', number)
      snapshots().delete(number)
    },
    writeSnapshotPart(number, part, text) {
      write('INSERT OR REPLACE INTO snapshot_parts (snapshot, part, json) VALUES (?, ?, ?)', number, part, text)
    },
    *readSnapshotParts(number) {
      // One at a time, so that never more than one is in memory, and what is written meanwhile disturbs no cursor.
      for (let part = 0; ; part++) {
        const row = sql.exec<JsonRow>('SELECT json FROM snapshot_parts WHERE snapshot = ? AND part = ?', number, part).toArray()[0]
        if (!row) return
        yield row.json
      }
    },
    readLog(after, limit): LogEntry[] {
      const entries: LogEntry[] = []
      let bytes = 0
      const rows = sql.exec<JsonRow & { seq: number }>('SELECT seq, json FROM log WHERE seq > ? ORDER BY seq LIMIT ?', after, limit)
      for (const { seq, json } of rows) {
        bytes += json.length
        if (entries.length > 0 && bytes > MAX_LOG_PAGE_BYTES) break
        entries.push(readStored(storedLogEntrySchema, json, `result ${seq} of the log`))
      }
      return entries
    },
    rows: {
      get(key) {
        const row = sql.exec<JsonRow>('SELECT json FROM strategy_rows WHERE key = ?', key).toArray()[0]
        return row && readRow(key, row.json)
      },
      put(key, value) {
        write('INSERT OR REPLACE INTO strategy_rows (key, json) VALUES (?, ?)', key, rowText(key, value))
      },
      delete(key) {
        write('DELETE FROM strategy_rows WHERE key = ?', key)
      },
      scan: (prefix, after, limit) =>
        sql
          .exec<JsonRow & { key: string }>(
            'SELECT key, json FROM strategy_rows WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?',
            prefix,
            prefix + AFTER_ALL,
            after,
            limit,
          )
          .toArray()
          .map(({ key, json }) => ({ key, value: readRow(key, json) })),
    },
    readMetrics: (after, limit): Metric[] =>
      sql
        .exec<JsonRow & { seq: number }>(
          "SELECT seq, json_extract(json, '$.metric') AS json FROM log WHERE seq > ? AND json_extract(json, '$.outcome') = 'applied' AND json_extract(json, '$.metric') IS NOT NULL AND json_extract(json, '$.rolledBack') IS NULL ORDER BY seq LIMIT ?",
          after,
          limit,
        )
        .toArray()
        .map((row) => readStored(storedMetricSchema, row.json, `result ${row.seq} of the log`)),
  }
}

export { createSqlSearchStore }
