// A training's store in a Durable Object's SQLite. docs/storage.md lists the tables. What the rules read at every call is
// kept in memory too; a transaction that fails drops that copy.

import type { EpochReport } from '../../protocol/index.ts'
import {
  storedReportSchema,
  type TrainingSetup,
  trainingSetupSchema,
  type TrainingState,
  trainingStateSchema,
  type TrainingStore,
} from '../../rules/training/index.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { createCachedTransactions } from './cached-transactions.ts'
import { createSqlBlobs } from './sql-blobs.ts'

type Cache = { setup?: TrainingSetup | null; state?: TrainingState; reports?: EpochReport[] }

/** In an object whose tables are there (migrations/training.ts). What does not fit its schema is ProblemError `unreadable`. */
function createSqlTrainingStore(storage: DurableObjectStorage): TrainingStore {
  const { sql } = storage
  let cache: Cache = {}
  const { transaction, write } = createCachedTransactions(storage, () => {
    cache = {}
  })

  const reports = (): EpochReport[] => {
    cache.reports ??= sql
      .exec<{ seq: number; json: string }>('SELECT seq, json FROM reports ORDER BY seq')
      .toArray()
      .map((row) => readStored(storedReportSchema, row.json, `report ${row.seq}`))
    return cache.reports
  }

  return {
    transaction,
    readSetup() {
      if (cache.setup === undefined) {
        const row = sql.exec<{ setup: string }>('SELECT setup FROM training').toArray()[0]
        cache.setup = row ? readStored(trainingSetupSchema, row.setup, 'the setup') : null
      }
      return cache.setup
    },
    writeSetup(setup) {
      write('INSERT OR REPLACE INTO training (id, setup) VALUES (1, ?)', JSON.stringify(setup))
      cache.setup = setup
    },
    readState() {
      cache.state ??= readStored(trainingStateSchema, sql.exec<{ json: string }>('SELECT json FROM state').one().json, 'the state')
      return cache.state
    },
    writeState(state) {
      write('INSERT OR REPLACE INTO state (id, json) VALUES (1, ?)', JSON.stringify(state))
      cache.state = state
    },
    readReports: () => [...reports()],
    appendReport(seq, report) {
      write('INSERT INTO reports (seq, json) VALUES (?, ?)', seq, JSON.stringify(report))
      cache.reports = [...reports().slice(0, seq - 1), report]
    },
    ...createSqlBlobs(sql, write),
  }
}

export { createSqlTrainingStore }
