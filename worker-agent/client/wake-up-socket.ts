// A socket on which the coordinator says when it is worth asking (protocol/wake-ups.ts). Proxies of the environment are used as for requests.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { BEARER_PROTOCOL_PREFIX, PING, PING_EVERY_MS, PONG, WAKE_UPS_PROTOCOL, wakeUpSchema } from '../../protocol/index.ts'

/** A socket that has not opened by then never will. */
const OPEN_TIMEOUT_MS = 30_000
/** The other end of a socket that is closed has so long to say goodbye. */
const GOODBYE_MS = 1000
/** Where Node's fetch and WebSocket announce the connection that a request goes out on. */
const SENT_CHANNEL = 'undici:client:sendHeaders'

type WakeUpSocket = { close(): void }

type WakeUpListener = {
  /** From now on it is told; what happened before is not. */
  onOpen(): void
  /** There may be work. */
  onWork(): void
  /** Once, whatever ended it, also where it never opened; not after `close`. */
  onLost(): void
}

type OpenWakeUps = (listener: WakeUpListener) => WakeUpSocket

type WakeUpAddress = {
  readonly coordinator: string
  readonly token: string
  /** Of the search or the training, such as `/v1/searches/s0123456789ab`. */
  readonly base: string
  readonly agentId: string
}

/** Undefined for what is none, or of a version that this one does not know. */
function readKind(data: unknown): 'work' | 'status' | undefined {
  try {
    return wakeUpSchema.safeParse(JSON.parse(String(data))).data?.kind
  } catch {
    return undefined
  }
}

/** Never throws: what cannot be opened is lost. */
function openWakeUpSocket({ coordinator, token, base, agentId }: WakeUpAddress, listener: WakeUpListener): WakeUpSocket {
  const url = new URL(`${coordinator.replace(/\/+$/, '').replace(/^http/, 'ws')}${base}/wake-ups?agentId=${agentId}`)
  let connection: Socket | undefined
  const onSent = (message: unknown) => {
    const { request, socket } = message as { request: { path: string; upgrade?: unknown }; socket: Socket }
    if (request.upgrade === 'websocket' && request.path === url.pathname + url.search) connection = socket
  }
  subscribe(SENT_CHANNEL, onSent)
  const socket = new WebSocket(url, [WAKE_UPS_PROTOCOL, BEARER_PROTOCOL_PREFIX + Buffer.from(token).toString('base64url')])
  let hasEnded = false
  let isAnswered = true

  const end = () => {
    hasEnded = true
    clearTimeout(opening)
    clearInterval(pinging)
    unsubscribe(SENT_CHANNEL, onSent)
    // Node waits for the other end to say goodbye, which one that is gone never does, and no process would end while it waits.
    const goodbye = setTimeout(() => connection?.destroy(), GOODBYE_MS)
    socket.addEventListener('close', () => clearTimeout(goodbye))
    if (socket.readyState === WebSocket.CLOSED) clearTimeout(goodbye)
    else socket.close()
  }
  const lose = () => {
    if (hasEnded) return
    end()
    listener.onLost()
  }
  const opening = setTimeout(lose, OPEN_TIMEOUT_MS)
  const pinging = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) return
    if (!isAnswered) return lose()
    isAnswered = false
    socket.send(PING)
  }, PING_EVERY_MS)
  socket.addEventListener('open', () => {
    clearTimeout(opening)
    unsubscribe(SENT_CHANNEL, onSent)
    if (!hasEnded) listener.onOpen()
  })
  socket.addEventListener('message', ({ data }) => {
    if (data === PONG) isAnswered = true
    else if (!hasEnded && readKind(data) === 'work') listener.onWork()
  })
  socket.addEventListener('close', lose)
  // Node says no more of a handshake that failed.
  socket.addEventListener('error', lose)
  return {
    close() {
      if (!hasEnded) end()
    },
  }
}

export { type OpenWakeUps, openWakeUpSocket, type WakeUpListener, type WakeUpSocket }
