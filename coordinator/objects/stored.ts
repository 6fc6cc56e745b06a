// What every object does with what it stores: it brings it to today's form before anything reads it, opens it once, answers or
// refuses, and erases it, also where it cannot be read.

import { attempt, type Outcome, ProblemError } from '../../protocol/index.ts'
import { unreadable } from '../../rules/stored/stored-form.ts'
import type { Migration } from './migrations/migration.ts'

/** Says which migrations have run; there from version 1 on. */
const MIGRATIONS = 'CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, title TEXT NOT NULL)'

type StoredOptions<Opened> = {
  /** What it is, for refusals: `search`. */
  readonly name: string
  /** The table that is there if anything is stored. */
  readonly table: string
  readonly migrations: readonly Migration[]
  /** Reads what every call needs, in today's form; null where nothing has been created. */
  readonly open: (storage: DurableObjectStorage) => Opened | null
}

function hasTable(sql: SqlStorage, name: string): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name).toArray().length > 0
}

/** How many migrations have run. */
function storedVersion(sql: SqlStorage): number {
  if (!hasTable(sql, 'migrations')) return 0
  return sql.exec<{ version: number | null }>('SELECT MAX(version) AS version FROM migrations').one().version ?? 0
}

/**
 * Runs the migrations that have not run yet, together with their numbers in one transaction. Throws ProblemError `unreadable` where
 * more have run than this version knows.
 */
function migrate(storage: DurableObjectStorage, migrations: readonly Migration[]): void {
  const { sql } = storage
  const version = storedVersion(sql)
  if (version > migrations.length) {
    const { title } = sql.exec<{ title: string }>('SELECT title FROM migrations WHERE version = ?', version).one()
    throw unreadable(
      'what is stored here',
      `a newer version stored it, in form ${version} ("${title}"), and this one knows forms up to ${migrations.length}; deploy the newer version again`,
    )
  }
  if (version === migrations.length) return
  storage.transactionSync(() => {
    sql.exec(MIGRATIONS)
    for (const [i, { title, up }] of migrations.entries()) {
      if (i < version) continue
      up(sql)
      sql.exec('INSERT INTO migrations (version, title) VALUES (?, ?)', i + 1, title)
    }
  })
}

/** What goes wrong when rows are read is wrong with the rows, unless storage itself says that it is busy. */
function refusalFor(error: unknown): unknown {
  const { overloaded, retryable } = error as { overloaded?: boolean; retryable?: boolean }
  if (overloaded || retryable) return error
  if (error instanceof ProblemError && error.code === 'unreadable') return error
  return unreadable('what is stored here', error instanceof Error ? error.message : String(error))
}

/** What an object stores, opened at the first call that needs it. */
class Stored<Opened> {
  readonly #storage: DurableObjectStorage
  readonly #options: StoredOptions<Opened>
  #opened: Opened | null = null

  constructor(storage: DurableObjectStorage, options: StoredOptions<Opened>) {
    this.#storage = storage
    this.#options = options
  }

  /** Whether there is anything, readable or not. Asking leaves an object that is not used without storage. */
  exists(): boolean {
    return this.#opened !== null || hasTable(this.#storage.sql, this.#options.table)
  }

  /** Makes the tables of something new, or brings those that are there to today's form; `form`: to that of an earlier version. */
  prepare(form = this.#options.migrations.length): void {
    migrate(this.#storage, this.#options.migrations.slice(0, form))
  }

  /** Null where nothing has been created; then nothing is written either. Throws ProblemError `unreadable`. */
  find(): Opened | null {
    if (this.#opened || !this.exists()) return this.#opened
    try {
      this.prepare()
      this.#opened = this.#options.open(this.#storage)
    } catch (error) {
      throw refusalFor(error)
    }
    return this.#opened
  }

  /** The same for an alarm, which has nobody to tell: null also where it cannot be read. */
  findReadable(): Opened | null {
    const found = attempt(() => this.find())
    return found.ok ? found.value : null
  }

  /** Throws ProblemError `not-found` or `unreadable`. */
  open(): Opened {
    const opened = this.find()
    if (opened === null) throw new ProblemError('not-found', `there is no such ${this.#options.name}`)
    return opened
  }

  /** Runs `body` on what is stored; refusals become values. */
  answer<T>(body: (opened: Opened) => T): Outcome<T> {
    return attempt(() => body(this.open()))
  }

  /** Opens what is stored anew, after rows have come past what was opened. Throws ProblemError `not-found` or `unreadable`. */
  reopen(): Opened {
    this.#opened = null
    return this.open()
  }

  /** Forgets what was opened, after its rows were taken back. */
  close(): void {
    this.#opened = null
  }

  /** Replaces what was opened, where it has changed as a whole. */
  keep(opened: Opened): void {
    this.#opened = opened
  }

  /** Deletes everything, the alarm too. */
  async erase(): Promise<void> {
    await this.#storage.deleteAlarm()
    await this.#storage.deleteAll()
    this.#opened = null
  }
}

export { hasTable, migrate, refusalFor, Stored }
