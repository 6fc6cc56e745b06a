// One HTTP request whose limit is lack of progress, not time: bytes that move, in either direction, start its clock again.
// So a slow line carries whatever its pace allows, and a dead one is noticed soon.
//
// What has been handed to a socket may still be in the send buffer of the machine, where nobody sees it move. The clock
// therefore allows for as much of the body as such a buffer holds. It counts ticks of this thread rather than time: a
// thread that was busy, with a training step for example, must not take its own silence for the network's.

/** A request is given up when nothing has moved for this long. */
const STALL_MS = 30_000
/** Ticks in that time. A blocked thread sees one tick, however long it was blocked. */
const TICKS = 4
/** Handed to the socket at one time: small against a send buffer, large against the cost of a write. */
const CHUNK_BYTES = 64 * 1024
/** The most that a send buffer holds: net.ipv4.tcp_wmem of Linux. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024
/** A full send buffer may take this many times the limit to drain: 70 KB/s at the default. */
const DRAIN_FACTOR = 2

type TransferOptions = {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly body?: string | Uint8Array<ArrayBuffer>
  /** Default `follow`. */
  readonly redirect?: 'follow' | 'error'
  /** Milliseconds without a byte after which the request is given up. Default 30 s. */
  readonly stallMs?: number
  readonly signal?: AbortSignal
  /** Told of bytes of bodies as they move, those of attempts that fail included. */
  readonly onSent?: (bytes: number) => void
  readonly onReceived?: (bytes: number) => void
}

type Answer = { readonly ok: boolean; readonly status: number; readonly headers: Headers; readonly body: Uint8Array<ArrayBuffer> }

/** Nothing moved for too long. */
class StalledError extends Error {
  override readonly name = 'StalledError'
  readonly code = 'stalled'
}

type Clock = { readonly signal: AbortSignal; moved(): void; handedOver(bytes: number): void; stop(): void }

function startClock(stallMs: number): Clock {
  const stalled = new AbortController()
  let quietTicks = 0
  let handedBytes = 0
  const timer = setInterval(() => {
    quietTicks += 1
    const buffered = Math.min(handedBytes, SEND_BUFFER_BYTES) / SEND_BUFFER_BYTES
    if (quietTicks > TICKS * (1 + DRAIN_FACTOR * buffered)) stalled.abort(new StalledError(`no answer within ${stallMs} ms`))
  }, stallMs / TICKS)
  return {
    signal: stalled.signal,
    moved() {
      quietTicks = 0
    },
    handedOver(bytes) {
      quietTicks = 0
      handedBytes += bytes
    },
    stop: () => clearInterval(timer),
  }
}

/** A body that is taken as the socket drains; fetch says nothing of how far it has come with any other. */
function streamOf(bytes: Uint8Array<ArrayBuffer>, onTaken: (bytes: number) => void): ReadableStream<Uint8Array> {
  let taken = 0
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = bytes.subarray(taken, taken + CHUNK_BYTES)
        taken += chunk.byteLength
        onTaken(chunk.byteLength)
        controller.enqueue(chunk)
        if (taken === bytes.byteLength) controller.close()
      },
    },
    { highWaterMark: 0 },
  )
}

async function readBody(response: Response, onChunk: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let total = 0
  const reader = response.body?.getReader()
  for (;;) {
    const read = await reader?.read()
    if (read === undefined || read.done) break
    chunks.push(read.value)
    total += read.value.byteLength
    onChunk(read.value.byteLength)
  }
  const body = new Uint8Array(total)
  let at = 0
  for (const chunk of chunks) {
    body.set(chunk, at)
    at += chunk.byteLength
  }
  return body
}

/** The whole answer. Throws StalledError, the reason of `signal`, or whatever fetch fails with. */
async function transfer(options: TransferOptions): Promise<Answer> {
  const { url, method, body, redirect, stallMs = STALL_MS, signal, onSent, onReceived } = options
  const clock = startClock(stallMs)
  const headers = new Headers(options.headers)
  const isStreamed = body instanceof Uint8Array && body.byteLength > CHUNK_BYTES
  // The coordinator checks the length before it reads on.
  if (isStreamed) headers.set('Content-Length', String(body.byteLength))
  else if (body !== undefined) onSent?.(body.length)
  const handedOver = (bytes: number) => {
    clock.handedOver(bytes)
    onSent?.(bytes)
  }
  const init = {
    method,
    headers,
    body: isStreamed ? streamOf(body, handedOver) : body,
    redirect,
    signal: signal ? AbortSignal.any([signal, clock.signal]) : clock.signal,
    ...(isStreamed ? { duplex: 'half' } : {}),
  } as RequestInit
  try {
    const response = await fetch(url, init)
    clock.moved()
    const answer = await readBody(response, (bytes) => {
      clock.moved()
      onReceived?.(bytes)
    })
    return { ok: response.ok, status: response.status, headers: response.headers, body: answer }
  } finally {
    clock.stop()
  }
}

export { type Answer, transfer }
