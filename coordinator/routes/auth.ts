// Who is calling. The admin token is compared here; an agent token is checked by the object that it is for, which stores
// its hash. Comparison is of SHA-256 digests in constant time.

import type { Context, MiddlewareHandler } from 'hono'
import { type Caller, parseAgentToken, ProblemError } from '../protocol/index.ts'
import type { Ports } from './ports.ts'

type Variables = { caller: Caller & { searchId?: string }; ports: Ports }
type RouteEnvironment<Bindings extends object = object> = { Bindings: Bindings; Variables: Variables }

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
}

/** Lower-case hexadecimal SHA-256. */
async function sha256Hex(text: string): Promise<string> {
  return [...(await sha256(text))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const BEARER = /^Bearer +([^ ]+) *$/i

/** Sets `caller`. Throws ProblemError `unauthorized` where there is no token, or one of no known form. */
const authenticate: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const token = BEARER.exec(context.req.header('Authorization') ?? '')?.[1]
  if (token === undefined) throw new ProblemError('unauthorized', 'send a token as `Authorization: Bearer <token>`')
  const hash = await sha256(token)
  const adminToken = context.var.ports.adminToken
  if (crypto.subtle.timingSafeEqual(hash, await sha256(adminToken)) && adminToken !== '') {
    context.set('caller', { kind: 'admin' })
  } else {
    const parts = parseAgentToken(token)
    if (!parts) throw new ProblemError('unauthorized', 'this token is neither the admin token nor an agent token')
    context.set('caller', { kind: 'agent', hash, ...parts })
  }
  await next()
}

/** Throws ProblemError `forbidden` for agents. */
const adminOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  if (context.var.caller.kind !== 'admin')
    throw new ProblemError('forbidden', 'this needs the admin token; an agent token is good for the work of one search only')
  await next()
}

/** Throws ProblemError `forbidden` for agents of another search. */
const ownSearchOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { caller } = context.var
  const searchId = context.req.param('searchId')
  if (caller.kind === 'agent' && caller.searchId !== searchId) {
    throw new ProblemError('forbidden', `this agent token is good for search ${caller.searchId}, not for ${searchId}`)
  }
  await next()
}

/** The caller as objects take it. */
function callerOf(context: Context<RouteEnvironment>): Caller {
  const { caller } = context.var
  return caller.kind === 'admin' ? { kind: 'admin' } : { kind: 'agent', tokenId: caller.tokenId, hash: caller.hash }
}

export { adminOnly, authenticate, callerOf, ownSearchOnly, type RouteEnvironment, sha256, sha256Hex }
