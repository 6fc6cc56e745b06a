// A training's store in a Durable Object's SQLite. docs/storage.md lists the tables. What the rules read at every call is
// kept in memory too; a transaction that fails drops that copy.

import { CHECKPOINT_CHUNK_BYTES, type EpochReport } from '../../protocol/index.ts'
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

/** Row id = blob · this + chunk; MAX_CHECKPOINT_BYTES are fewer chunks. */
const MAX_CHUNKS = 1000

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
    writeBlob(blob, begin, bytes) {
      const first = blob * MAX_CHUNKS + begin / CHECKPOINT_CHUNK_BYTES
      for (let chunk = 0; chunk * CHECKPOINT_CHUNK_BYTES < bytes.byteLength; chunk++) {
        const at = chunk * CHECKPOINT_CHUNK_BYTES
        const data = bytes.slice(at, at + CHECKPOINT_CHUNK_BYTES).buffer
        write('INSERT INTO chunks (row, data) VALUES (?, ?)', first + chunk, data)
      }
    },
    readBlob(blob, begin, end) {
      const bytes = new Uint8Array(end - begin)
      const firstChunk = Math.floor(begin / CHECKPOINT_CHUNK_BYTES)
      const rows = sql.exec<{ data: ArrayBuffer }>(
        'SELECT data FROM chunks WHERE row >= ? AND row < ? ORDER BY row',
        blob * MAX_CHUNKS + firstChunk,
        blob * MAX_CHUNKS + Math.ceil(end / CHECKPOINT_CHUNK_BYTES),
      )
      let at = firstChunk * CHECKPOINT_CHUNK_BYTES
      for (const { data } of rows) {
        const from = Math.max(begin, at)
        const part = new Uint8Array(data, from - at, Math.min(data.byteLength, end - at) - (from - at))
        bytes.set(part, from - begin)
        at += data.byteLength
      }
      if (at < end) throw new Error(`blob ${blob} has no bytes ${begin} to ${end}`)
      return bytes
    },
    deleteBlob(blob) {
      write('DELETE FROM chunks WHERE row >= ? AND row < ?', blob * MAX_CHUNKS, (blob + 1) * MAX_CHUNKS)
    },
  }
}

export { createSqlTrainingStore }
