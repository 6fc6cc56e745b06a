// A list of ids, newest first, written only when what they name is created or deleted. One object for each kind of thing; the
// table is called after the searches, which were the first, whatever the object lists.

import { DurableObject } from 'cloudflare:workers'

/** What each list's object is called. */
const directoryNames = { searches: 'directory', profiles: 'profiles', trainings: 'trainings' } as const

class DirectoryObject extends DurableObject<object> {
  constructor(ctx: DurableObjectState, env: object) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS searches (search_id TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL) WITHOUT ROWID')
  }

  add(id: string, createdAtMs: number): void {
    this.ctx.storage.sql.exec('INSERT OR IGNORE INTO searches (search_id, created_at_ms) VALUES (?, ?)', id, createdAtMs)
  }

  remove(id: string): void {
    this.ctx.storage.sql.exec('DELETE FROM searches WHERE search_id = ?', id)
  }

  /** Ids of what was created before `beforeMs`, newest first. */
  list(beforeMs: number, limit: number): string[] {
    const rows = this.ctx.storage.sql.exec<{ search_id: string }>(
      'SELECT search_id FROM searches WHERE created_at_ms < ? ORDER BY created_at_ms DESC, search_id LIMIT ?',
      beforeMs,
      limit,
    )
    return rows.toArray().map((row) => row.search_id)
  }
}

export { directoryNames, DirectoryObject }
