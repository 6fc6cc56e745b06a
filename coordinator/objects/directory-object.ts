// A list of ids, newest first, written only when what they name is created or deleted. One object for each kind of thing; that of the
// searches has the coordinator's key as well, one has the versions of latency tables, and
// one what was done with the admin token.

import { DurableObject } from 'cloudflare:workers'
import { attempt, type AuditEntry, MAX_AUDIT_ENTRIES, type Outcome, type TableSummary } from '../../protocol/index.ts'
import { directoryMigrations } from './migrations/directory.ts'
import { readStored } from '../../rules/stored/stored-form.ts'
import { storedAuditEntrySchema } from './stored-audit-entry.ts'
import { Stored } from './stored.ts'
import { createTableVersions, type NamedVersion } from './table-versions.ts'

/** What each list's object is called. */
const directoryNames = { searches: 'directory', profiles: 'profiles', trainings: 'trainings', tables: 'tables', audit: 'audit' } as const

/** Something that was created at some time; `summary`: JSON of what lists show, where it has said so. */
type Listed = { readonly id: string; readonly createdAtMs: number; readonly summary: string | null }

/** As long as the hash that it is for. */
const KEY_BYTES = 32

class DirectoryObject extends DurableObject<object> {
  readonly #stored = new Stored(this.ctx.storage, {
    name: 'list',
    table: 'searches',
    migrations: directoryMigrations,
    open: ({ sql }) => sql,
  })

  add(id: string, createdAtMs: number): Outcome<null> {
    return attempt(() => {
      this.#stored.prepare()
      this.#stored.open().exec('INSERT OR IGNORE INTO searches (search_id, created_at_ms) VALUES (?, ?)', id, createdAtMs)
      return null
    })
  }

  remove(id: string): Outcome<null> {
    return attempt(() => {
      this.#stored.find()?.exec('DELETE FROM searches WHERE search_id = ?', id)
      return null
    })
  }

  /** What something that is listed says of itself, unless it has said something later already. */
  describe(id: string, summary: string, seq: number): Outcome<null> {
    return attempt(() => {
      const update = 'UPDATE searches SET summary = ?, summary_seq = ? WHERE search_id = ? AND summary_seq <= ?'
      this.#stored.find()?.exec(update, summary, seq, id, seq)
      return null
    })
  }

  /** It cannot be read any more: lists ask it again. */
  forget(id: string): Outcome<null> {
    return attempt(() => {
      this.#stored.find()?.exec('UPDATE searches SET summary = NULL WHERE search_id = ? AND summary IS NOT NULL', id)
      return null
    })
  }

  /** The key that tokens are signed with, made when first asked for. It leaves the object for the Worker alone. */
  signingKey(): Outcome<Uint8Array> {
    return attempt(() => {
      this.#stored.prepare()
      const sql = this.#stored.open()
      sql.exec('INSERT OR IGNORE INTO signing_key (id, key) VALUES (1, ?)', crypto.getRandomValues(new Uint8Array(KEY_BYTES)).buffer)
      return new Uint8Array(sql.exec<{ key: ArrayBuffer }>('SELECT key FROM signing_key').one().key)
    })
  }

  /** Of the object of the tables: what `name` stands for, and whether `version` of it was deleted. */
  findTable(name: string, version: string | null): Outcome<{ latest: NamedVersion; isDeleted: boolean }> {
    return attempt(() => {
      const sql = this.#stored.find()
      if (!sql) return { latest: { kind: 'unknown' }, isDeleted: false }
      const versions = createTableVersions(sql)
      return { latest: versions.latest(name), isDeleted: version !== null && versions.isDeleted(name, version) }
    })
  }

  publishTable(summary: TableSummary): Outcome<null> {
    return attempt(() => {
      this.#stored.prepare()
      createTableVersions(this.#stored.open()).publish(summary)
      return null
    })
  }

  /** A version, or all of them. */
  removeTable(name: string, version: string | null): Outcome<null> {
    return attempt(() => {
      this.#stored.prepare()
      createTableVersions(this.#stored.open()).remove(name, version)
      return null
    })
  }

  listTables(): Outcome<{ tables: TableSummary[]; deleted: string[] }> {
    return attempt(() => {
      const sql = this.#stored.find()
      return sql ? createTableVersions(sql).list() : { tables: [], deleted: [] }
    })
  }

  /** Of the object of the audit list: keeps the newest MAX_AUDIT_ENTRIES. */
  addAction(entry: Omit<AuditEntry, 'seq'>): Outcome<null> {
    return attempt(() => {
      this.#stored.prepare()
      const sql = this.#stored.open()
      const seq = 1 + (sql.exec<{ seq: number | null }>('SELECT MAX(seq) AS seq FROM audit').one().seq ?? 0)
      sql.exec('INSERT INTO audit (seq, json) VALUES (?, ?)', seq, JSON.stringify({ seq, ...entry }))
      sql.exec('DELETE FROM audit WHERE seq <= ?', seq - MAX_AUDIT_ENTRIES)
      return null
    })
  }

  /** Entries with a seq below `before`, newest first. */
  actions(before: number, limit: number): Outcome<AuditEntry[]> {
    return attempt(() => {
      const rows = this.#stored
        .find()
        ?.exec<{ seq: number; json: string }>('SELECT seq, json FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?', before, limit)
      return (rows?.toArray() ?? []).map(({ seq, json }) => readStored(storedAuditEntrySchema, json, `entry ${seq} of the audit list`))
    })
  }

  /** What was created before `beforeMs`, newest first. */
  list(beforeMs: number, limit: number): Outcome<Listed[]> {
    return attempt(() => {
      const rows = this.#stored
        .find()
        ?.exec<{ search_id: string; created_at_ms: number; summary: string | null }>(
          'SELECT search_id, created_at_ms, summary FROM searches WHERE created_at_ms < ? ORDER BY created_at_ms DESC, search_id LIMIT ?',
          beforeMs,
          limit,
        )
      return (rows?.toArray() ?? []).map((row) => ({ id: row.search_id, createdAtMs: row.created_at_ms, summary: row.summary }))
    })
  }
}

export { directoryNames, DirectoryObject }
