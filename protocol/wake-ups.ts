// Wake-ups: whoever waits keeps a WebSocket open, and is told when it is worth asking. They carry no state: an agent asks for a lease as ever, a
// page for the status, and whoever has no socket asks from time to time.

import * as z from 'zod'
import { agentIdSchema } from './ids.ts'

/** The subprotocol of these sockets. */
const WAKE_UPS_PROTOCOL = 'gatehouse.wake-ups'
/** Begins a second subprotocol, which has the token in base64url: WebSockets of browsers have no headers. */
const BEARER_PROTOCOL_PREFIX = 'gatehouse.bearer.'

/** What a socket may send, and what is answered: it keeps proxies from closing it, and shows each side that the other is there. */
const PING = 'ping'
const PONG = 'pong'
/** Between two pings: often enough for proxies that close what is silent for a minute. */
const PING_EVERY_MS = 50_000
/** A socket that has not sent a ping for so long has nobody at its end any more. */
const SILENT_MS = 3 * PING_EVERY_MS
/** Pages are told of changes no more often; what changes in between is there when they ask at the end of it. */
const STATUS_EVERY_MS = 2000

/** Why a socket was closed by the coordinator. */
const closeCodes = {
  /** Nothing was heard of its end, or what it belongs to was deleted. */
  gone: 1001,
  /** It sent what is no ping. */
  unexpected: 1003,
  /** Its token was revoked. */
  revoked: 1008,
  /** The same agent has opened another. */
  replaced: 4001,
} as const

const wakeUpSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('work').describe('there may be work: ask for a lease') }),
    z.object({ kind: z.literal('status').describe('the status has changed') }),
  ])
  .meta({ id: 'WakeUp' })
type WakeUp = z.infer<typeof wakeUpSchema>

const wakeUpsQuerySchema = z.object({
  agentId: agentIdSchema
    .optional()
    .describe('of the agent that waits for work, which has one socket; left out: of those who look at the status'),
})

export {
  BEARER_PROTOCOL_PREFIX,
  closeCodes,
  PING,
  PING_EVERY_MS,
  PONG,
  SILENT_MS,
  STATUS_EVERY_MS,
  WAKE_UPS_PROTOCOL,
  type WakeUp,
  wakeUpSchema,
  wakeUpsQuerySchema,
}
