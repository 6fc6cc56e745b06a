// A proxy between agents and their coordinator that sees everything and breaks a lot: what was sent, what was acknowledged, in which order.
// It reads a request whole before it sends it on, and an answer whole before it gives it back, so that an agent that dies meanwhile leaves
// no doubt about what the coordinator has heard.

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

type Exchange = {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer<ArrayBuffer>
}
type Answered = { readonly status: number; readonly body: Buffer }

type Watcher = {
  /** Before it is sent on. */
  sent(exchange: Exchange): void
  /** As soon as the coordinator has answered, before the agent knows. */
  answered(exchange: Exchange, answer: Answered): void
}

type Witness = {
  readonly url: string
  /** Whether to refuse connections and cut those that are open. */
  cut(isCut: boolean): void
  /** Milliseconds that each answer takes longer. */
  delay(ms: number): void
  /** Lets what is under way come to its end, and holds everything else until it is released. */
  hold(): Promise<void>
  release(): void
  close(): Promise<void>
}

const HOLD_TIMEOUT_MS = 20_000
const POLL_MS = 10
/** Of headers, what is not passed on: fetch and the server make their own. */
const OWN_HEADERS = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive', 'content-encoding', 'expect'])

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

async function openWitness(coordinatorUrl: string, watcher: Watcher): Promise<Witness> {
  const line = {
    isCut: false,
    delayMs: 0,
    held: null as { readonly ended: Promise<void>; readonly end: () => void } | null,
    underWay: 0,
  }

  const passOn = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await readAll(request)
    while (line.held) await line.held.ended
    if (line.isCut) throw new Error('cut')
    const exchange: Exchange = { method: request.method ?? 'GET', path: request.url ?? '/', headers: request.headers, body }
    line.underWay += 1
    let answered: Answered & { headers: [string, string][] }
    try {
      const headers = Object.entries(request.headers).flatMap(([name, value]) =>
        OWN_HEADERS.has(name) || value === undefined ? [] : [[name, String(value)] as [string, string]],
      )
      watcher.sent(exchange)
      const answer = await fetch(new URL(exchange.path, coordinatorUrl), {
        method: exchange.method,
        headers,
        ...(body.length > 0 && { body }),
      })
      answered = {
        status: answer.status,
        body: Buffer.from(await answer.arrayBuffer()),
        headers: [...answer.headers].filter(([name]) => !OWN_HEADERS.has(name)),
      }
      watcher.answered(exchange, answered)
    } finally {
      line.underWay -= 1
    }
    if (line.delayMs > 0) await sleep(line.delayMs)
    if (line.isCut) throw new Error('cut')
    response.writeHead(answered.status, Object.fromEntries(answered.headers)).end(answered.body)
  }

  const server = createServer((request, response) => {
    passOn(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('expected the proxy to listen on a port')

  return {
    url: `http://127.0.0.1:${address.port}`,
    cut(cut) {
      line.isCut = cut
      if (cut) server.closeAllConnections()
    },
    delay(ms) {
      line.delayMs = ms
    },
    async hold() {
      let end = () => {}
      const ended = new Promise<void>((done) => {
        end = done
      })
      line.held ??= { ended, end }
      const deadline = Date.now() + HOLD_TIMEOUT_MS
      while (line.underWay > 0) {
        if (Date.now() > deadline) throw new Error(`a request was under way for ${HOLD_TIMEOUT_MS} ms`)
        await sleep(POLL_MS)
      }
    },
    release() {
      line.held?.end()
      line.held = null
    },
    async close() {
      server.closeAllConnections()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}

export { type Exchange, openWitness, type Watcher, type Witness }
