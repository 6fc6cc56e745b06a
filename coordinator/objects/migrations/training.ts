import * as z from 'zod'
import { type Migration, rewriteJson } from './migration.ts'

const state = z.looseObject({ inputs: z.looseObject({}).default({}), upload: z.looseObject({}).nullable().default(null) })

const trainingMigrations: readonly Migration[] = [
  {
    title: 'tables; the state says which inputs and upload there are',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS training (id INTEGER PRIMARY KEY CHECK (id = 1), setup TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS reports (seq INTEGER PRIMARY KEY, json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS chunks (row INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE TABLE IF NOT EXISTS tokens (
          token_id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, created_at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
      `)
      rewriteJson(sql, { table: 'state', key: 'id', column: 'json' }, (value) => state.parse(value))
    },
  },
]

export { trainingMigrations }
