// A search's store in a Durable Object's SQLite. docs/storage.md lists the tables.
//
// Rows written are what costs, so what changes together is one row, and a task that ends leaves the small table of
// outstanding ones instead of being marked. What the rules read at every call is kept in memory too; a transaction
// that fails drops that copy. Stored JSON is parsed with its schema when it is read from disk, never on the hot path.

import { type LogEntry, logEntrySchema, MAX_LOG_PAGE_BYTES, type Metric, metricSchema } from '../../protocol/index.ts'
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
} from '../../rules/search/index.ts'

const TABLES = `
  CREATE TABLE IF NOT EXISTS search (id INTEGER PRIMARY KEY CHECK (id = 1), setup TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS outstanding (task_id INTEGER PRIMARY KEY, json TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS agents (agent_id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, json TEXT NOT NULL);
`

type Cache = {
  setup?: SearchSetup | null
  state?: SearchState
  outstanding?: Map<number, OutstandingTask>
  agents?: Map<string, AgentRecord>
}

type JsonRow = { json: string }

/** Whether a search has been created here. Reading alone leaves an unused object without storage. */
function hasSearch(storage: DurableObjectStorage): boolean {
  return storage.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'search'").toArray().length > 0
}

function createSqlSearchStore(storage: DurableObjectStorage): SearchStore {
  const { sql } = storage
  sql.exec(TABLES)
  let cache: Cache = {}

  const outstanding = (): Map<number, OutstandingTask> => {
    cache.outstanding ??= new Map(
      sql
        .exec<JsonRow>('SELECT json FROM outstanding ORDER BY task_id')
        .toArray()
        .map((row) => outstandingTaskSchema.parse(JSON.parse(row.json)))
        .map((task) => [task.taskId, task]),
    )
    return cache.outstanding
  }
  const agents = (): Map<string, AgentRecord> => {
    cache.agents ??= new Map(
      sql
        .exec<JsonRow>('SELECT json FROM agents')
        .toArray()
        .map((row) => agentRecordSchema.parse(JSON.parse(row.json)))
        .map((agent) => [agent.agentId, agent]),
    )
    return cache.agents
  }

  return {
    transaction(body) {
      try {
        return storage.transactionSync(body)
      } catch (error) {
        cache = {}
        throw error
      }
    },
    readSetup() {
      if (cache.setup === undefined) {
        const row = sql.exec<{ setup: string }>('SELECT setup FROM search').toArray()[0]
        cache.setup = row ? searchSetupSchema.parse(JSON.parse(row.setup)) : null
      }
      return cache.setup
    },
    writeSetup(setup) {
      sql.exec('INSERT OR REPLACE INTO search (id, setup) VALUES (1, ?)', JSON.stringify(setup))
      cache.setup = setup
    },
    readState() {
      cache.state ??= searchStateSchema.parse(JSON.parse(sql.exec<JsonRow>('SELECT json FROM state').one().json))
      return cache.state
    },
    writeState(state) {
      sql.exec('INSERT OR REPLACE INTO state (id, json) VALUES (1, ?)', JSON.stringify(state))
      cache.state = state
    },
    outstandingTasks: () => [...outstanding().values()].toSorted((a, b) => a.taskId - b.taskId),
    writeOutstanding(task) {
      sql.exec('INSERT OR REPLACE INTO outstanding (task_id, json) VALUES (?, ?)', task.taskId, JSON.stringify(task))
      outstanding().set(task.taskId, task)
    },
    removeOutstanding(taskId) {
      sql.exec('DELETE FROM outstanding WHERE task_id = ?', taskId)
      outstanding().delete(taskId)
    },
    readAgent: (agentId) => agents().get(agentId) ?? null,
    writeAgent(agent) {
      sql.exec('INSERT OR REPLACE INTO agents (agent_id, json) VALUES (?, ?)', agent.agentId, JSON.stringify(agent))
      agents().set(agent.agentId, agent)
    },
    agents: () => [...agents().values()].toSorted((a, b) => a.registeredAtMs - b.registeredAtMs),
    appendLog(entry) {
      sql.exec('INSERT INTO log (seq, json) VALUES (?, ?)', entry.seq, JSON.stringify(entry))
    },
    readLog(after, limit): LogEntry[] {
      const entries: LogEntry[] = []
      let bytes = 0
      for (const { json } of sql.exec<JsonRow>('SELECT json FROM log WHERE seq > ? ORDER BY seq LIMIT ?', after, limit)) {
        bytes += json.length
        if (entries.length > 0 && bytes > MAX_LOG_PAGE_BYTES) break
        entries.push(logEntrySchema.parse(JSON.parse(json)))
      }
      return entries
    },
    readMetrics: (after, limit): Metric[] =>
      sql
        .exec<JsonRow>(
          "SELECT json_extract(json, '$.metric') AS json FROM log WHERE seq > ? AND json_extract(json, '$.outcome') = 'applied' ORDER BY seq LIMIT ?",
          after,
          limit,
        )
        .toArray()
        .map((row) => metricSchema.parse(JSON.parse(row.json))),
  }
}

export { createSqlSearchStore, hasSearch }
