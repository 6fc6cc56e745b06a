import type { Migration } from './migration.ts'

const directoryMigrations: readonly Migration[] = [
  {
    title: 'table; called after the searches, which were the first to be listed, whatever the object lists',
    up(sql) {
      sql.exec('CREATE TABLE IF NOT EXISTS searches (search_id TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL) WITHOUT ROWID')
    },
  },
  {
    title: 'a table for the key that tokens are signed with',
    up(sql) {
      sql.exec('CREATE TABLE IF NOT EXISTS signing_key (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL)')
    },
  },
  {
    title: 'a table for the versions of latency tables',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS table_versions (
          name TEXT NOT NULL, version TEXT NOT NULL, published_at_ms INTEGER NOT NULL, summary TEXT, PRIMARY KEY (name, version)
        ) WITHOUT ROWID
      `)
    },
  },
  {
    title: 'a table for what was done with the admin token',
    up(sql) {
      sql.exec('CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, json TEXT NOT NULL)')
    },
  },
  {
    title: 'what is listed may say of itself what lists show',
    up(sql) {
      sql.exec('ALTER TABLE searches ADD COLUMN summary TEXT')
      sql.exec('ALTER TABLE searches ADD COLUMN summary_seq INTEGER NOT NULL DEFAULT 0')
    },
  },
]

export { directoryMigrations }
