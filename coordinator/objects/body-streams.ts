// Bodies on their way into and out of an object. Streams cross from the Worker to an object and back without being held in
// between; only byte streams do.

import { ProblemError } from '../../protocol/index.ts'

const FIRST_BUFFER_BYTES = 64 * 1024
/** Parts of a file are sent together up to about this: a chunk costs a call, and a copy of its size. */
const CHUNK_BYTES = 256 * 1024

/** The whole body, in one buffer of its length where that is known. Throws ProblemError `too-large` beyond `mostBytes`. */
async function readBody(
  body: ReadableStream<Uint8Array>,
  { expectedBytes, mostBytes }: { readonly expectedBytes: number | null; readonly mostBytes: number },
): Promise<Uint8Array> {
  let buffer = new Uint8Array(Math.min(expectedBytes ?? FIRST_BUFFER_BYTES, mostBytes))
  let received = 0
  const reader = body.getReader({ mode: 'byob' })
  for (;;) {
    // In pieces of a useful size: left to itself the stream gives some 4 KiB at a time.
    const { value: chunk, done } = await reader.readAtLeast(CHUNK_BYTES, new Uint8Array(CHUNK_BYTES))
    if (!chunk || chunk.byteLength === 0) {
      if (done) break
      continue
    }
    const end = received + chunk.byteLength
    if (end > mostBytes) {
      await reader.cancel().catch(() => undefined)
      throw new ProblemError('too-large', `expected at most ${mostBytes} bytes`)
    }
    if (end > buffer.byteLength) {
      const grown = new Uint8Array(Math.min(mostBytes, Math.max(end, 2 * buffer.byteLength)))
      grown.set(buffer.subarray(0, received))
      buffer = grown
    }
    buffer.set(chunk, received)
    received = end
  }
  return buffer.subarray(0, received)
}

/** Takes some parts, at least one, until they make a chunk; null after the last. */
function nextChunk(parts: Iterator<Uint8Array>): Uint8Array<ArrayBuffer> | null {
  const taken: Uint8Array[] = []
  let bytes = 0
  while (bytes < CHUNK_BYTES) {
    const next = parts.next()
    if (next.done) break
    taken.push(next.value)
    bytes += next.value.byteLength
  }
  if (bytes === 0) return null
  // A copy, since a stream takes the memory that it is given away from its owner.
  const chunk = new Uint8Array(bytes)
  let at = 0
  for (const part of taken) {
    chunk.set(part, at)
    at += part.byteLength
  }
  return chunk
}

/** Parts one after the other, each made when the reader has come to it. */
function streamParts(parts: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = parts[Symbol.iterator]()
  return new ReadableStream({
    type: 'bytes',
    pull(controller) {
      const chunk = nextChunk(iterator)
      if (chunk) return controller.enqueue(chunk)
      controller.close()
      controller.byobRequest?.respond(0)
    },
  })
}

export { readBody, streamParts }
