// The lists of searches and of profiles in browsers, newest first, written only when one of them is created or deleted. One
// object is that of searches and profiles; another, of the same class, lists the trainings, and what is said of searches here
// holds for them.

import { DurableObject } from 'cloudflare:workers'
import type { Environment } from './environment.ts'

class DirectoryObject extends DurableObject<Environment> {
  constructor(ctx: DurableObjectState, env: Environment) {
    super(ctx, env)
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS searches (search_id TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL) WITHOUT ROWID')
    ctx.storage.sql.exec('CREATE TABLE IF NOT EXISTS profiles (profile_id TEXT PRIMARY KEY, created_at_ms INTEGER NOT NULL) WITHOUT ROWID')
  }

  add(searchId: string, createdAtMs: number): void {
    this.ctx.storage.sql.exec('INSERT OR IGNORE INTO searches (search_id, created_at_ms) VALUES (?, ?)', searchId, createdAtMs)
  }

  remove(searchId: string): void {
    this.ctx.storage.sql.exec('DELETE FROM searches WHERE search_id = ?', searchId)
  }

  /** Ids of searches created before `beforeMs`, newest first. */
  list(beforeMs: number, limit: number): string[] {
    const rows = this.ctx.storage.sql.exec<{ search_id: string }>(
      'SELECT search_id FROM searches WHERE created_at_ms < ? ORDER BY created_at_ms DESC, search_id LIMIT ?',
      beforeMs,
      limit,
    )
    return rows.toArray().map((row) => row.search_id)
  }

  addProfile(profileId: string, createdAtMs: number): void {
    this.ctx.storage.sql.exec('INSERT OR IGNORE INTO profiles (profile_id, created_at_ms) VALUES (?, ?)', profileId, createdAtMs)
  }

  removeProfile(profileId: string): void {
    this.ctx.storage.sql.exec('DELETE FROM profiles WHERE profile_id = ?', profileId)
  }

  /** Ids of the profiles created last, newest first. */
  listProfiles(limit: number): string[] {
    const rows = this.ctx.storage.sql.exec<{ profile_id: string }>(
      'SELECT profile_id FROM profiles ORDER BY created_at_ms DESC, profile_id LIMIT ?',
      limit,
    )
    return rows.toArray().map((row) => row.profile_id)
  }
}

export { DirectoryObject }
