// The sockets of an object: of agents that wait for work, and of those who look at the status (protocol/wake-ups.ts). All are hibernating: an
// object that has nothing to say is not in memory, and its sockets are open all the same. Pings are answered by the runtime.
//
// Several agents wait where a result or a lease that came back may have made work for one, so one is woken. If it gets a task, it wakes the
// next one; otherwise the others would have got none either. Of each token one is woken, so that agents which do not ask keep nobody waiting.

import {
  attempt,
  type Caller,
  closeCodes,
  type Outcome,
  PING,
  PONG,
  ProblemError,
  SILENT_MS,
  STATUS_EVERY_MS,
  unwrap,
  type WakeUp,
} from '../../protocol/index.ts'

/** Of one object; of those more, agents and pages ask from time to time instead. */
const MAX_SOCKETS = 1000
/** And of one token. */
const MAX_TOKEN_SOCKETS = 500
/** In a request from the Worker to the object, who asks for the socket. Nobody but the Worker calls objects. */
const OPENER_HEADER = 'Socket-Opener'

/** `agentId`: of the agent that waits for work; null: for the status. */
type Opener = { readonly caller: Caller; readonly agentId: string | null }

/** What a socket keeps through hibernation. `tokenId`: null for the administrator's. `waits`: of an agent that was not given work since. */
type Attachment = {
  readonly tokenId: string | null
  readonly agentId: string | null
  readonly waits: boolean
  readonly openedAtMs: number
  readonly wokenAtMs: number
}

type Held = Attachment & { readonly socket: WebSocket }

const tokenIdOf = ({ caller }: Opener) => (caller.kind === 'agent' ? caller.tokenId : null)

function send(socket: WebSocket, wakeUp: WakeUp): void {
  socket.send(JSON.stringify(wakeUp))
}

/** The answer of an object's stub to who wants a socket: one with status 101, or a refusal. */
async function openSocket(stub: { fetch(request: Request): Promise<Response> }, { caller, agentId }: Opener): Promise<Outcome<Response>> {
  const plain = caller.kind === 'agent' ? { ...caller, hash: [...caller.hash] } : caller
  const headers = { Upgrade: 'websocket', [OPENER_HEADER]: JSON.stringify({ caller: plain, agentId }) }
  const response = await stub.fetch(new Request('https://object/', { headers }))
  return response.webSocket ? { ok: true, value: response } : ((await response.json()) satisfies Outcome<Response>)
}

function readOpener(request: Request): Opener {
  const { caller, agentId } = JSON.parse(request.headers.get(OPENER_HEADER) ?? '') as Opener
  return { caller: caller.kind === 'agent' ? { ...caller, hash: Uint8Array.from(caller.hash) } : caller, agentId }
}

class Sockets {
  readonly #state: DurableObjectState
  #statusAtMs = Number.NEGATIVE_INFINITY

  constructor(state: DurableObjectState) {
    this.#state = state
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG))
  }

  /** Answers `openSocket`; `check` refuses who may not have one. */
  accept(request: Request, check: (opener: Opener) => Outcome<unknown>): Response {
    const opener = readOpener(request)
    const outcome = attempt(() => {
      unwrap(check(opener))
      this.#makeRoom(opener)
      return null
    })
    if (!outcome.ok) return Response.json(outcome)
    const { 0: client, 1: server } = new WebSocketPair()
    this.#state.acceptWebSocket(server)
    const { agentId } = opener
    const held = { tokenId: tokenIdOf(opener), agentId, waits: agentId !== null, openedAtMs: Date.now(), wokenAtMs: 0 } satisfies Attachment
    server.serializeAttachment(held)
    return new Response(null, { status: 101, webSocket: client })
  }

  /** There may be work, for one agent or for all. */
  wake(whom: 'one' | 'all'): void {
    const waiting = this.#open().filter(({ waits }) => waits)
    if (whom === 'all') return waiting.forEach((held) => this.#wake(held))
    // Each Map keeps the last one of a token that it is given: who was woken longest ago.
    const next = new Map(waiting.toSorted((a, b) => b.wokenAtMs - a.wokenAtMs).map((held) => [held.tokenId, held]))
    for (const held of next.values()) this.#wake(held)
  }

  /** An agent has asked. Where it has waited until now, and was given work, the next one is woken: whatever made that may have made more. */
  asked(agentId: string, hasWork: boolean): void {
    for (const { socket, ...held } of this.#open()) {
      if (held.agentId !== agentId || held.waits === !hasWork) continue
      socket.serializeAttachment({ ...held, waits: !hasWork } satisfies Attachment)
      if (hasWork) this.wake('one')
    }
  }

  /** The status has changed. Who looks at it is told once in a while, and asks again when that is over. */
  changed(): void {
    const nowMs = Date.now()
    if (nowMs - this.#statusAtMs < STATUS_EVERY_MS) return
    for (const { socket, agentId } of this.#open()) {
      if (agentId !== null) continue
      this.#statusAtMs = nowMs
      send(socket, { kind: 'status' })
    }
  }

  /** A socket is there to listen: what it sends are pings, which never come here. */
  refuse(socket: WebSocket): void {
    socket.close(closeCodes.unexpected, 'nothing but pings is expected')
  }

  /** Closes those of a token. */
  revoke(tokenId: string): void {
    for (const held of this.#open()) if (held.tokenId === tokenId) held.socket.close(closeCodes.revoked, 'the token was revoked')
  }

  closeAll(): void {
    for (const { socket } of this.#open()) socket.close(closeCodes.gone, 'it was deleted')
  }

  counts(): { readonly agents: number; readonly pages: number } {
    const open = this.#open()
    return { agents: open.filter(({ waits }) => waits).length, pages: open.filter(({ agentId }) => agentId === null).length }
  }

  #wake({ socket, ...attachment }: Held): void {
    socket.serializeAttachment({ ...attachment, wokenAtMs: Date.now() } satisfies Attachment)
    send(socket, { kind: 'work' })
  }

  /** Those that are open. What has sent no ping for long has nobody at its end, and is closed. */
  #open(): Held[] {
    const nowMs = Date.now()
    return this.#state.getWebSockets().flatMap((socket) => {
      if (socket.readyState !== WebSocket.READY_STATE_OPEN) return []
      const attachment = socket.deserializeAttachment() as Attachment
      const heardAtMs = this.#state.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? attachment.openedAtMs
      if (nowMs - heardAtMs < SILENT_MS) return [{ socket, ...attachment }]
      socket.close(closeCodes.gone, 'nothing was heard for long')
      return []
    })
  }

  /** An agent has one socket: its last one may be of a connection that has broken. Throws ProblemError `overloaded`. */
  #makeRoom(opener: Opener): void {
    const tokenId = tokenIdOf(opener)
    const open = this.#open()
    const own = open.filter((held) => opener.agentId !== null && held.agentId === opener.agentId && held.tokenId === tokenId)
    const others = open.filter((held) => !own.includes(held))
    if (others.length >= MAX_SOCKETS || others.filter((held) => held.tokenId === tokenId).length >= MAX_TOKEN_SOCKETS)
      throw new ProblemError('overloaded', 'too many sockets are open: ask from time to time instead')
    for (const { socket } of own) socket.close(closeCodes.replaced, 'this agent has opened another')
  }
}

export { openSocket, Sockets }
