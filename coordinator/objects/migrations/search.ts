import * as z from 'zod'
import { type Migration, rewriteJson } from './migration.ts'

const agent = z.looseObject({
  peakBytes: z.number().nullable().default(null),
  steps: z.int().default(0),
  bytesSent: z.int().default(0),
  bytesReceived: z.int().default(0),
  asked: z.boolean().default(false),
  exchangeMs: z.number().nullable().default(null),
  lanes: z.int().optional(),
})
const task = z.looseObject({ lease: z.looseObject({ leasedAtMs: z.int().nullable().default(null) }).nullable() })

const loose = z.looseObject({})
const withCounts = z.looseObject({ counts: loose })
const withTasks = z.looseObject({ config: z.looseObject({ tasks: loose }) })

const searchMigrations: readonly Migration[] = [
  {
    title: 'tables; agents and leases say everything that is known of them',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS search (id INTEGER PRIMARY KEY CHECK (id = 1), setup TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS outstanding (task_id INTEGER PRIMARY KEY, json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS agents (agent_id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS tokens (
          token_id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, created_at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
      `)
      rewriteJson(sql, { table: 'agents', key: 'agent_id', column: 'json' }, (value) => {
        const { lanes, ...known } = agent.parse(value)
        // Agents that said how many lanes they have knew rounds.
        const kinds = { trainWeights: lanes === undefined ? 1 : 2, gateGradients: 1, evaluatePaths: 1 }
        return { protocol: 0, kinds, ...known, lanes: lanes ?? 1 }
      })
      rewriteJson(sql, { table: 'outstanding', key: 'task_id', column: 'json' }, (value) => task.parse(value))
    },
  },
  {
    title: 'tasks say how many of their leases came to nothing',
    up(sql) {
      // What happened before was not counted.
      rewriteJson(sql, { table: 'outstanding', key: 'task_id', column: 'json' }, (value) => ({ ...loose.parse(value), attempts: 0 }))
    },
  },
  {
    title: 'the state says how many tasks were given up, and which was the last',
    up(sql) {
      rewriteJson(sql, { table: 'state', key: 'id', column: 'json' }, (value) => {
        const state = withCounts.parse(value)
        return { ...state, counts: { ...state.counts, failed: 0 }, lastFailure: null }
      })
    },
  },
  {
    title: 'a table for rows of the strategy; tasks may be trials, and figures of a distribution be left out of the log',
    up(sql) {
      sql.exec('CREATE TABLE IF NOT EXISTS strategy_rows (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID')
    },
  },
  {
    title: 'tasks say who had them before, agents which token they registered with',
    up(sql) {
      rewriteJson(sql, { table: 'outstanding', key: 'task_id', column: 'json' }, (value) => ({ ...loose.parse(value), ended: [] }))
      rewriteJson(sql, { table: 'agents', key: 'agent_id', column: 'json' }, (value) => ({ tokenId: null, ...loose.parse(value) }))
    },
  },
  {
    title: 'the state says how large gate gradients were, agents how often numbers of theirs were clipped',
    up(sql) {
      rewriteJson(sql, { table: 'state', key: 'id', column: 'json' }, (value) => ({ ...loose.parse(value), gateSizes: [] }))
      rewriteJson(sql, { table: 'agents', key: 'agent_id', column: 'json' }, (value) => ({
        ...loose.parse(value),
        clipped: 0,
        lastClippedTaskId: null,
      }))
    },
  },
  {
    title: 'tables for checkpoints of trials; settings say how often there is one',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS trial_files (trial INTEGER PRIMARY KEY, json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS chunks (row INTEGER PRIMARY KEY, data BLOB NOT NULL);
      `)
      rewriteJson(sql, { table: 'search', key: 'id', column: 'setup' }, (value) => {
        const { config, ...setup } = withTasks.parse(value)
        return { ...setup, config: { ...config, tasks: { ...config.tasks, checkpointMs: 300_000 } } }
      })
    },
  },
  {
    title: 'tables for the phase that was announced last, for whom to tell, and for what they have not been told yet',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS announced (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, phase TEXT NOT NULL, listed INTEGER NOT NULL);
        CREATE TABLE IF NOT EXISTS webhook (id INTEGER PRIMARY KEY CHECK (id = 1), url TEXT NOT NULL, secret TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS deliveries (
          target TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL, next_at_ms INTEGER NOT NULL,
          PRIMARY KEY (target, seq)
        ) WITHOUT ROWID;
      `)
    },
  },
  {
    title: 'tables for snapshots',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS snapshots (number INTEGER PRIMARY KEY, json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS snapshot_parts (
          snapshot INTEGER NOT NULL, part INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (snapshot, part)
        ) WITHOUT ROWID;
      `)
    },
  },
]

export { searchMigrations }
