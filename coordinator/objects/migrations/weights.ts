import type { Migration } from './migration.ts'

const weightsMigrations: readonly Migration[] = [
  {
    title: 'tables',
    up(sql) {
      sql.exec(`
        CREATE TABLE IF NOT EXISTS shard (id INTEGER PRIMARY KEY CHECK (id = 1), setup TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS applied (task_id INTEGER PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS segments (row INTEGER PRIMARY KEY, versions TEXT NOT NULL, data BLOB NOT NULL);
        CREATE TABLE IF NOT EXISTS tokens (
          token_id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, created_at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
      `)
    },
  },
  {
    title: 'pushes say how large they were',
    up(sql) {
      sql.exec('ALTER TABLE applied ADD COLUMN size REAL')
      sql.exec('ALTER TABLE applied ADD COLUMN velocity_size REAL')
    },
  },
  {
    title: 'tables for snapshots and for how often the shard was taken back; pushes say which snapshot came before them',
    up(sql) {
      sql.exec(`
        ALTER TABLE applied ADD COLUMN after_snapshot INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE IF NOT EXISTS snapshots (number INTEGER PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS snapshot_segments (
          snapshot INTEGER NOT NULL, row INTEGER NOT NULL, versions TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (snapshot, row)
        ) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS rollbacks (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL);
      `)
    },
  },
  {
    title: 'pushes say in which order they were applied, whose they were and under which lease',
    up(sql) {
      sql.exec('ALTER TABLE applied ADD COLUMN revision INTEGER')
      sql.exec('ALTER TABLE applied ADD COLUMN agent_id TEXT')
      sql.exec('ALTER TABLE applied ADD COLUMN lease_id TEXT')
    },
  },
]

export { weightsMigrations }
