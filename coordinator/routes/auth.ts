// Who is calling. The admin token is compared here; any other is checked by the object that it is for, which stores its
// hash. Comparison is of SHA-256 digests in constant time.

import type { Context, MiddlewareHandler } from 'hono'
import * as z from 'zod'
import {
  type Caller,
  checkProtocol,
  parseAgentToken,
  parseProfileCode,
  parseProfileToken,
  parseTrainingToken,
  ProblemError,
  type ProfileCaller,
} from '../../protocol/index.ts'
import type { Ports } from './ports.ts'

/** As far as the token itself says; the object that it is for says whether it is good. */
type Shown =
  | { readonly kind: 'admin' }
  | { readonly kind: 'agent'; readonly searchId: string; readonly tokenId: string; readonly hash: Uint8Array }
  | { readonly kind: 'profile'; readonly profileId: string; readonly hash: Uint8Array }
  | { readonly kind: 'profile-code'; readonly code: string }
  | { readonly kind: 'trainer'; readonly trainingId: string; readonly tokenId: string; readonly hash: Uint8Array }

type Variables = { caller: Shown; ports: Ports }
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
    const agent = parseAgentToken(token)
    const trainer = parseTrainingToken(token)
    const profile = parseProfileToken(token)
    const code = parseProfileCode(token)
    if (agent) context.set('caller', { kind: 'agent', hash, ...agent })
    else if (trainer) context.set('caller', { kind: 'trainer', hash, ...trainer })
    else if (profile) context.set('caller', { kind: 'profile', hash, ...profile })
    else if (code) context.set('caller', { kind: 'profile-code', code })
    else throw new ProblemError('unauthorized', 'this token is neither the admin token nor one that was issued with it')
  }
  await next()
}

/** What a token other than the admin's is good for, for refusals. */
function reach(caller: Shown): string {
  switch (caller.kind) {
    case 'admin':
      return 'the admin token may do everything'
    case 'agent':
      return `this agent token is good for search ${caller.searchId} only`
    case 'profile':
      return `this token is good for profile ${caller.profileId} only`
    case 'profile-code':
      return 'a code opens a profile, and nothing else'
    case 'trainer':
      return `this agent token is good for training ${caller.trainingId} only`
    default:
      return caller satisfies never
  }
}

function refuse(caller: Shown, wanted: string): never {
  // A code is ten characters that anybody may have guessed: it is no token that was checked.
  throw new ProblemError(caller.kind === 'profile-code' ? 'unauthorized' : 'forbidden', `this needs ${wanted}; ${reach(caller)}`)
}

/** Throws ProblemError `forbidden` for everybody else. */
const adminOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  if (context.var.caller.kind !== 'admin') refuse(context.var.caller, 'the admin token')
  await next()
}

/** Throws ProblemError `forbidden` for all but the administrator and agents of this search. */
const ownSearchOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { caller } = context.var
  const searchId = context.req.param('searchId')
  const isAllowed = caller.kind === 'admin' || (caller.kind === 'agent' && caller.searchId === searchId)
  if (!isAllowed) refuse(caller, `the admin token or an agent token of search ${searchId}`)
  await next()
}

/** Throws ProblemError `forbidden` for all but the administrator and agents of this training. */
const ownTrainingOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { caller } = context.var
  const trainingId = context.req.param('trainingId')
  const isAllowed = caller.kind === 'admin' || (caller.kind === 'trainer' && caller.trainingId === trainingId)
  if (!isAllowed) refuse(caller, `the admin token or the agent token of training ${trainingId}`)
  await next()
}

/** Throws ProblemError `forbidden` for all but the administrator and the browser of this profile. */
const ownProfileOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { caller } = context.var
  const profileId = context.req.param('profileId')
  const isAllowed = caller.kind === 'admin' || (caller.kind === 'profile' && caller.profileId === profileId)
  if (!isAllowed) refuse(caller, `the admin token or the token of profile ${profileId}`)
  await next()
}

const statedProtocolSchema = z.object({ protocol: z.number() })

/**
 * Looks at the protocol that an agent says it speaks before the body is checked as a whole, since one of another protocol may say
 * more. Throws ProblemError `version-mismatch`.
 */
const spokenProtocolOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  // A body that is not JSON is refused behind this.
  const stated = statedProtocolSchema.safeParse(await context.req.json().catch(() => null))
  if (stated.success) checkProtocol(stated.data.protocol)
  await next()
}

/** The caller as the objects of a search or a training take it; behind `ownSearchOnly`, `ownTrainingOnly` or `adminOnly`. */
function callerOf(context: Context<RouteEnvironment>): Caller {
  const { caller } = context.var
  if (caller.kind === 'admin') return { kind: 'admin' }
  if (caller.kind === 'agent' || caller.kind === 'trainer') return { kind: 'agent', tokenId: caller.tokenId, hash: caller.hash }
  return refuse(caller, 'the admin token or an agent token')
}

/** The caller as a profile's object takes it; behind `ownProfileOnly`. */
function profileCallerOf(context: Context<RouteEnvironment>): ProfileCaller {
  const { caller } = context.var
  if (caller.kind === 'admin') return { kind: 'admin' }
  if (caller.kind === 'profile') return { kind: 'profile', hash: caller.hash }
  return refuse(caller, 'the admin token or the token of a profile')
}

export {
  adminOnly,
  authenticate,
  callerOf,
  ownProfileOnly,
  ownSearchOnly,
  ownTrainingOnly,
  profileCallerOf,
  type RouteEnvironment,
  sha256,
  sha256Hex,
  spokenProtocolOnly,
}
