// Files that one request does not carry, in parts, one after the other: PUT and POST with Content-Range, GET with Range
// (RFC 9110, sections 14.2 and 14.4). A part that got lost is sent again; what has arrived stays.

import { PART_BYTES } from './limits.ts'

/** A file that changes each time it is read is given up after so many beginnings, an upload after so many steps back. */
const MAX_RESTARTS = 10
const PARTIAL_CONTENT = 206

/** Bytes of a file from `begin` up to `end`, of `total`. */
type Part = { readonly begin: number; readonly end: number; readonly total: number }

/** Some bytes of a file that is sent. */
type Delivery = {
  readonly bytes: Uint8Array
  /** Which bytes of the file these are. */
  readonly part: Part
  /** The same for all parts of an upload; null for a file that comes as a whole. */
  readonly uploadId: string | null
}

/** Some bytes of a file that is fetched. */
type FilePart = {
  /** The same for all parts of one file. */
  readonly version: string
  readonly total: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

class TransferError extends Error {
  override readonly name = 'TransferError'
  readonly code = 'transfer'
}

function printContentRange({ begin, end, total }: Part): string {
  return `bytes ${begin}-${end - 1}/${total}`
}

/** Null where the text is not one range of a file of known length. */
function parseContentRange(text: string): Part | null {
  const [begin, last, total] = (/^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(text) ?? []).slice(1).map(Number)
  if (begin === undefined || last === undefined || total === undefined) return null
  return begin <= last && last < total ? { begin, end: last + 1, total } : null
}

/** Where the only range of a request begins; null where there is none or another kind, which a server may ignore. */
function parseRangeBegin(text: string | undefined): number | null {
  const begin = /^bytes=(\d{1,15})-\d*$/.exec(text ?? '')?.[1]
  return begin === undefined ? null : Number(begin)
}

/** From the answer to a request for what begins at some byte; a server that knows no ranges answers with the whole. */
function filePartOf(status: number, headers: { get(name: string): string | null }, bytes: Uint8Array<ArrayBuffer>): FilePart {
  const range = status === PARTIAL_CONTENT ? parseContentRange(headers.get('Content-Range') ?? '') : null
  return { version: headers.get('ETag') ?? '', total: range?.total ?? bytes.byteLength, bytes }
}

/** A whole file; `read` gets what begins at a byte. Throws TransferError where it changes every time. */
async function downloadParts(read: (begin: number) => Promise<FilePart>): Promise<Uint8Array<ArrayBuffer>> {
  for (let tries = 0; tries < MAX_RESTARTS; tries++) {
    const first = await read(0)
    const file = new Uint8Array(first.total)
    let part = first
    let received = 0
    while (part.version === first.version && part.total === first.total && part.bytes.byteLength > 0) {
      file.set(part.bytes, received)
      received += part.bytes.byteLength
      if (received === first.total) return file
      part = await read(received)
    }
    if (first.total === 0) return file
  }
  throw new TransferError(`the file changed in each of ${MAX_RESTARTS} attempts to read it`)
}

/**
 * Sends a file part after part, each beginning where the receiver says that it has come to; returns its last answer, the
 * first that is not `partial`. Throws TransferError where it is sent back again and again.
 */
async function uploadParts<Answer extends { readonly kind: string }>(
  bytes: Uint8Array<ArrayBuffer>,
  send: (bytes: Uint8Array<ArrayBuffer>, part: Part) => Promise<Answer | { readonly kind: 'partial'; readonly receivedBytes: number }>,
): Promise<Answer> {
  const total = bytes.byteLength
  let begin = 0
  for (let setbacks = 0; setbacks < MAX_RESTARTS;) {
    const end = Math.min(begin + PART_BYTES, total)
    const answer = await send(bytes.subarray(begin, end), { begin, end, total })
    if (!('receivedBytes' in answer)) return answer
    if (answer.receivedBytes < end) setbacks++
    begin = answer.receivedBytes
  }
  throw new TransferError(`an upload of ${total} bytes was sent back ${MAX_RESTARTS} times`)
}

export {
  type Delivery,
  downloadParts,
  type FilePart,
  parseContentRange,
  filePartOf,
  parseRangeBegin,
  type Part,
  printContentRange,
  uploadParts,
}
