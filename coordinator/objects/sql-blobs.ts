// Blobs in a Durable Object's SQLite, in rows of one chunk each. The table is `chunks (row INTEGER PRIMARY KEY, data BLOB)`.

import { CHECKPOINT_CHUNK_BYTES } from '../../protocol/index.ts'
import type { BlobStore } from '../../rules/network-files/parts.ts'

/** Row id = blob · this + chunk; MAX_CHECKPOINT_BYTES are fewer chunks. */
const MAX_CHUNKS = 1000

/** @param write called for statements that write (cached-transactions.ts) */
function createSqlBlobs(sql: SqlStorage, write: SqlStorage['exec']): BlobStore {
  return {
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

export { createSqlBlobs }
