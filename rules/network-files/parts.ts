// Files of networks as they come in: whole, or in parts that are stored one after the other as they come. An upload counts when its last
// part is there and the whole has been checked; whoever begins another in its place takes its bytes away.

import { type ByteSource, CHECKPOINT_CHUNK_BYTES, type Delivery, invalidField, ProblemError, sourceOf } from '../../protocol/index.ts'

/** In a file, beside its tensors: the reports, as JSON within JSON. */
const MAX_REPORT_BYTES = 8 * 1024 * 1024

/** Bytes in a store, named by numbers. */
type BlobStore = {
  /** Bytes of a blob from `begin` on, a multiple of CHECKPOINT_CHUNK_BYTES, where those before it are there. */
  writeBlob(blob: number, begin: number, bytes: Uint8Array): void
  /** Bytes from `begin` up to `end`. Throws where they are not there: the state names only blobs that are. */
  readBlob(blob: number, begin: number, end: number): Uint8Array<ArrayBuffer>
  deleteBlob(blob: number): void
}

/** `bytes` of it when they are all there. */
type Upload<What extends string> = {
  readonly uploadId: string
  readonly what: What
  readonly blob: number
  readonly bytes: number
  readonly receivedBytes: number
}

/** `blobs`: the highest number of a blob so far. */
type Receiving<What extends string> = { readonly upload: Upload<What> | null; readonly blobs: number }

/** A file that is there as a whole. `blob` names it in the store, where it lies already if it came in parts. */
type Arrived = { readonly kind: 'whole'; readonly source: ByteSource; readonly blob: number; readonly isStored: boolean }

/** Throws ProblemError `invalid-request` or `too-large` where the parts do not make a file of this network. */
function checkDelivery(most: number, { bytes, part, uploadId }: Delivery): void {
  const { begin, end, total } = part
  if (end - begin !== bytes.byteLength)
    throw invalidField('Content-Range', `expected ${end - begin} bytes in the body, got ${bytes.byteLength}`)
  if (total > most) throw new ProblemError('too-large', `expected at most ${most} bytes for this network, got ${total}`)
  if (bytes.byteLength === total) return
  if (uploadId === null) throw invalidField('upload', 'required where the body is a part of a file')
  if (begin % CHECKPOINT_CHUNK_BYTES !== 0 || (end % CHECKPOINT_CHUNK_BYTES !== 0 && end !== total)) {
    throw invalidField('Content-Range', `expected parts of a multiple of ${CHECKPOINT_CHUNK_BYTES} bytes, the last excepted`)
  }
}

/** Adds a part to what has come of its upload. A part that is there already, or that does not follow the one before, changes nothing. */
function receivePart<What extends string>(
  store: BlobStore,
  state: Receiving<What>,
  what: What,
  { bytes, part, uploadId }: Delivery,
): Receiving<What> & { readonly arrived: Arrived | { kind: 'partial'; receivedBytes: number } } {
  const nextBlob = state.blobs + 1
  if (uploadId === null || bytes.byteLength === part.total) {
    return { ...state, blobs: nextBlob, arrived: { kind: 'whole', source: sourceOf(bytes), blob: nextBlob, isStored: false } }
  }
  const known = state.upload
  const isKnown = known?.uploadId === uploadId && known.what === what && known.bytes === part.total
  if (part.begin !== (isKnown ? known.receivedBytes : 0)) {
    return { ...state, arrived: { kind: 'partial', receivedBytes: isKnown ? known.receivedBytes : 0 } }
  }
  const blob = isKnown ? known.blob : nextBlob
  if (known && !isKnown) store.deleteBlob(known.blob)
  const blobs = Math.max(state.blobs, blob)
  store.writeBlob(blob, part.begin, bytes)
  if (part.end < part.total) {
    const upload = { uploadId, what, blob, bytes: part.total, receivedBytes: part.end }
    return { upload, blobs, arrived: { kind: 'partial', receivedBytes: part.end } }
  }
  const source = { byteLength: part.total, read: (begin: number, end: number) => store.readBlob(blob, begin, end) }
  return { upload: null, blobs, arrived: { kind: 'whole', source, blob, isStored: true } }
}

export { type BlobStore, checkDelivery, MAX_REPORT_BYTES, receivePart }
