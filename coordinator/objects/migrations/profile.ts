import type { Migration } from './migration.ts'

const profileMigrations: readonly Migration[] = [
  {
    title: 'tables',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS profile (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS batches (
          backend TEXT NOT NULL, batch INTEGER NOT NULL, rounds INTEGER NOT NULL, spent_ms REAL NOT NULL, at_ms INTEGER NOT NULL,
          conditions TEXT NOT NULL, timings TEXT NOT NULL, PRIMARY KEY (backend, batch)
        ) WITHOUT ROWID;
      `)
    },
  },
]

export { profileMigrations }
