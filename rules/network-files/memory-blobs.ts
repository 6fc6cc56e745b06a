// Blobs in memory, for tests of the rules. Bytes are copied in and out, as storage does.

import type { BlobStore } from './parts.ts'

function blobsOver(blobs: Map<number, Uint8Array<ArrayBuffer>>): BlobStore {
  return {
    writeBlob(blob, begin, bytes) {
      const before = blobs.get(blob) ?? new Uint8Array(0)
      const after = new Uint8Array(begin + bytes.byteLength)
      after.set(before.subarray(0, begin))
      after.set(bytes, begin)
      blobs.set(blob, after)
    },
    readBlob(blob, begin, end) {
      const bytes = blobs.get(blob)
      if (!bytes || bytes.byteLength < end) throw new Error(`blob ${blob} has no bytes ${begin} to ${end}`)
      return bytes.slice(begin, end)
    },
    deleteBlob(blob) {
      blobs.delete(blob)
    },
  }
}

export { blobsOver }
