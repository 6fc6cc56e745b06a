// An agent's socket for wake-ups, against servers that do what a coordinator would not.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { PING, PING_EVERY_MS, PONG, WAKE_UPS_PROTOCOL } from '../../protocol/index.ts'
import { openWakeUpSocket, type WakeUpListener } from '../../worker-agent/client/wake-up-socket.ts'

const ADDRESS = { token: 'gha.s0123456789ab.t0123456789ab.secret', base: '/v1/searches/s0123456789ab', agentId: 'a0123456789ab' }
const TEXT_FRAME = 0x81

let close = async () => {}
afterEach(async () => {
  await close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A server that takes a socket as `take` says. */
async function serve(take: (request: IncomingMessage, socket: Duplex) => void): Promise<string> {
  const sockets: Duplex[] = []
  const server = createServer().on('upgrade', (request, socket) => {
    sockets.push(socket.on('error', () => undefined))
    take(request, socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  close = async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

function accept({ headers }: IncomingMessage, socket: Duplex): void {
  const key = createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const lines = [
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${key}`,
    `Sec-WebSocket-Protocol: ${WAKE_UPS_PROTOCOL}`,
  ]
  socket.write(['HTTP/1.1 101 Switching Protocols', ...lines, '', ''].join('\r\n'))
}

const tell = (socket: Duplex, text: string) => socket.write(Buffer.concat([Buffer.from([TEXT_FRAME, text.length]), Buffer.from(text)]))

/** What a listener is told, in order. */
function listen(): { told: string[]; listener: WakeUpListener; until: (what: string) => Promise<void> } {
  const told: string[] = []
  const changes = new EventTarget()
  const note = (what: string) => () => {
    told.push(what)
    changes.dispatchEvent(new Event('change'))
  }
  return {
    told,
    listener: { onOpen: note('open'), onWork: note('work'), onLost: note('lost') },
    async until(what) {
      while (!told.includes(what)) await once(changes, 'change')
    },
  }
}

describe('a socket for wake-ups', () => {
  it('shows its token as a subprotocol, and takes what it does not know for nothing', async () => {
    let asked: IncomingMessage | undefined
    const coordinator = await serve((request, socket) => {
      asked = request
      accept(request, socket)
      for (const text of ['hello', '{"kind":"later"}', '{"kind":"status"}', '{"kind":"work","more":1}']) tell(socket, text)
    })
    const { told, listener, until } = listen()
    const socket = openWakeUpSocket({ ...ADDRESS, coordinator }, listener)
    await until('work')
    expect(told).toEqual(['open', 'work'])
    expect(asked?.url).toBe('/v1/searches/s0123456789ab/wake-ups?agentId=a0123456789ab')
    const [, bearer] = (asked?.headers['sec-websocket-protocol'] ?? '').split(', ')
    expect(Buffer.from(bearer?.replace('gatehouse.bearer.', '') ?? '', 'base64url').toString()).toBe(ADDRESS.token)
    socket.close()
  })

  it('that is refused is lost, once', async () => {
    const coordinator = await serve((_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'))
    const { told, listener, until } = listen()
    openWakeUpSocket({ ...ADDRESS, coordinator }, listener)
    await until('lost')
    await close()
    expect(told).toEqual(['lost'])
  })

  it('is gone a moment after it was closed, also where the other end says nothing', async () => {
    let ended: Promise<unknown> | undefined
    const coordinator = await serve((request, socket) => {
      accept(request, socket)
      ended = Promise.race([once(socket.resume(), 'end'), once(socket, 'close')])
    })
    const { told, listener, until } = listen()
    const socket = openWakeUpSocket({ ...ADDRESS, coordinator }, listener)
    await until('open')
    socket.close()
    await ended
    expect(told).toEqual(['open'])
  })

  it('is lost where a ping is not answered', async () => {
    vi.useFakeTimers()
    const sent: string[] = []
    class SilentSocket extends EventTarget {
      static readonly OPEN = 1
      readyState = SilentSocket.OPEN
      constructor() {
        super()
        setTimeout(() => this.dispatchEvent(new Event('open')), 0)
      }
      send(data: string) {
        sent.push(data)
        if (sent.length === 1) this.dispatchEvent(new MessageEvent('message', { data: PONG }))
      }
      close() {
        this.readyState = 3
      }
    }
    vi.stubGlobal('WebSocket', SilentSocket)
    const { told, listener } = listen()
    openWakeUpSocket({ ...ADDRESS, coordinator: 'https://coordinator.test' }, listener)
    await vi.advanceTimersByTimeAsync(0)
    expect(told).toEqual(['open'])
    await vi.advanceTimersByTimeAsync(2 * PING_EVERY_MS)
    expect([told, sent]).toEqual([['open'], [PING, PING]])
    await vi.advanceTimersByTimeAsync(PING_EVERY_MS)
    expect([told, sent]).toEqual([
      ['open', 'lost'],
      [PING, PING],
    ])
  })
})
