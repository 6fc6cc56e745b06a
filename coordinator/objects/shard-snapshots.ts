// Snapshots of a shard's weights, and its way back to one. Which tasks a snapshot has in it, `applied` says by itself: each push notes the
// snapshot that came before it.
//
// A version is of one content only, ever: a tensor that comes back to what it was gets a new one, above all that it has had. So whoever holds
// weights of before a rollback holds another version, and pulls.

import { unreadable } from '../../rules/stored/stored-form.ts'
import type { SegmentStore } from './weight-segments.ts'

type ShardSnapshots = {
  /** Number of the snapshot that was taken last, of those that are there; 0: none. */
  last(): number
  /** How often the shard was taken back. */
  readonly rollbacks: number
  /** Keeps all weights as they are under this number, those in `keep` beside it, and no others. Returns its bytes. */
  take(number: number, keep: readonly number[]): number
  /** Within the caller's transaction, after which everything has to be opened anew. `rollbacks`: how often it will have been taken back. */
  restore(store: SegmentStore, number: number, rollbacks: number): void
}

/** In a shard object whose tables are there. */
function createShardSnapshots(storage: DurableObjectStorage): ShardSnapshots {
  const { sql } = storage
  const numbers = () =>
    sql
      .exec<{ number: number }>('SELECT number FROM snapshots ORDER BY number')
      .toArray()
      .map(({ number }) => number)
  let last = numbers().at(-1) ?? 0
  const remove = (number: number) => {
    sql.exec('DELETE FROM snapshot_segments WHERE snapshot = ?', number)
    sql.exec('DELETE FROM snapshots WHERE number = ?', number)
  }
  return {
    last: () => last,
    rollbacks: sql.exec<{ count: number }>('SELECT count FROM rollbacks').toArray()[0]?.count ?? 0,
    take(number, keep) {
      storage.transactionSync(() => {
        for (const known of numbers()) if (!keep.includes(known)) remove(known)
        sql.exec('INSERT INTO snapshots (number) VALUES (?)', number)
        // Within SQLite: nothing of it comes into memory.
        sql.exec('INSERT INTO snapshot_segments (snapshot, row, versions, data) SELECT ?, row, versions, data FROM segments', number)
      })
      last = number
      const bytes = 'SELECT COALESCE(SUM(LENGTH(data) + LENGTH(versions)), 0) AS bytes FROM snapshot_segments WHERE snapshot = ?'
      return sql.exec<{ bytes: number }>(bytes, number).one().bytes
    },
    restore(store, number, rollbacks) {
      if (!numbers().includes(number)) throw unreadable(`snapshot ${number}`, 'this shard does not have it')
      for (let segment = 0; segment < store.count; segment++) {
        const now = store.read(segment)
        const then = store.readSnapshot(segment, number)
        const versions = now.versions.map((version, i) => (then.versions[i] === version ? version : version + 1))
        if (versions.some((version, i) => version !== now.versions[i])) store.write(segment, { values: then.values, versions })
      }
      // Of tasks that were out then, what they pushed since: they may push again.
      sql.exec('DELETE FROM applied WHERE after_snapshot >= ?', number)
      for (const later of numbers()) if (later > number) remove(later)
      sql.exec('INSERT OR REPLACE INTO rollbacks (id, count) VALUES (1, ?)', rollbacks)
    },
  }
}

export { createShardSnapshots, type ShardSnapshots }
