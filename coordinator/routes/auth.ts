// Who is calling. The admin token is compared here, in constant time; any other was signed by this coordinator (tokens.ts), or issued by an
// earlier version, and then the object that it is for is asked. All this happens before anything of a request but its headers is looked at.
// Whether a token was revoked is known to the objects, which store hashes of those that are good.

import type { Context, MiddlewareHandler } from 'hono'
import * as z from 'zod'
import { type Caller, checkProtocol, parseProfileCode, ProblemError, type ProfileCaller, unwrap } from '../../protocol/index.ts'
import { auditAction } from './audit-actions.ts'
import type { Ports } from './ports.ts'
import { networkOf } from './refusals.ts'
import type { RouteEnvironment, Shown } from './route-environment.ts'
import { tokenOfProtocols } from './socket-protocols.ts'
import { isSigned, parseToken, sha256, type ShownToken } from './tokens.ts'

const BEARER = /^Bearer +([^ ]+) *$/i
/** Beyond this nothing is a token; the longest that is issued has 75 characters. */
const MAX_TOKEN_CHARACTERS = 512
/** A shorter admin token may have been made up by people, and be guessed. */
const MIN_ADMIN_TOKEN_CHARACTERS = 32

/** Of the hash of a token. */
const FINGERPRINT_BYTES = 6

const tooManyRefusals = () => new ProblemError('too-many-refusals', 'too many of your requests were refused; try again in a while')

/** Whether a token is the administrator's. Throws ProblemError `unauthorized` where it is, and is too short to be one. */
async function isAdmin(hash: Uint8Array, adminTokens: readonly string[]): Promise<boolean> {
  for (const adminToken of adminTokens) {
    if (adminToken === '' || !crypto.subtle.timingSafeEqual(hash, await sha256(adminToken))) continue
    if (adminToken.length >= MIN_ADMIN_TOKEN_CHARACTERS) return true
    throw new ProblemError(
      'unauthorized',
      `this is the admin token, but it has ${adminToken.length} characters, and at least ${MIN_ADMIN_TOKEN_CHARACTERS} are needed: set another with \`openssl rand -hex 32 | npx wrangler secret put ADMIN_TOKEN\``,
    )
  }
  return false
}

/** Tells admin tokens apart in logs, and is none. */
function fingerprintOf(hash: Uint8Array): string {
  return [...hash.subarray(0, FINGERPRINT_BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A token that this coordinator did not sign may be of an earlier version. Throws ProblemError `unauthorized` or `not-found`. */
async function askOwner(ports: Ports, caller: ShownToken & { readonly hash: Uint8Array }): Promise<void> {
  const { hash } = caller
  switch (caller.kind) {
    case 'agent':
      return void unwrap(await ports.search(caller.searchId).checkToken({ kind: 'agent', tokenId: caller.tokenId, hash }))
    case 'trainer':
      return void unwrap(await ports.training(caller.trainingId).checkToken({ kind: 'agent', tokenId: caller.tokenId, hash }))
    case 'profile':
      return void unwrap(await ports.profile(caller.profileId).checkToken({ kind: 'profile', hash }))
    default:
      return caller satisfies never
  }
}

/** Sets `caller`. Throws ProblemError `unauthorized` where there is no good token, `too-many-refusals` for who was refused too often. */
const authenticate: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { ports, refusals } = context.var
  const network = `network ${networkOf(context.req.header('CF-Connecting-IP') ?? 'unknown')}`
  context.set('refusalKey', network)
  const token =
    BEARER.exec(context.req.header('Authorization') ?? '')?.[1] ?? tokenOfProtocols(context.req.header('Sec-WebSocket-Protocol'))
  if (token === undefined) throw new ProblemError('unauthorized', 'send a token as `Authorization: Bearer <token>`')
  if (token.length > MAX_TOKEN_CHARACTERS)
    throw new ProblemError('unauthorized', `expected a token of at most ${MAX_TOKEN_CHARACTERS} characters`)
  const hash = await sha256(token)
  const shown = parseToken(token)
  const code = parseProfileCode(token)
  if (shown) {
    const caller = { ...shown, hash }
    const known = await isSigned(await ports.signer(), token, shown)
    const key = known ? `token ${shown.kind === 'profile' ? shown.profileId : shown.tokenId}` : network
    if (refusals.isTurnedAway(key)) throw tooManyRefusals()
    if (!known) await askOwner(ports, caller)
    context.set('refusalKey', key)
    context.set('caller', caller)
  } else if (await isAdmin(hash, ports.adminTokens)) {
    context.set('refusalKey', null)
    context.set('caller', { kind: 'admin', fingerprint: fingerprintOf(hash) })
  } else {
    if (refusals.isTurnedAway(network)) throw tooManyRefusals()
    if (!code) throw new ProblemError('unauthorized', 'this token is neither the admin token nor one that was issued with it')
    context.set('caller', { kind: 'profile-code', code })
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

/** Throws ProblemError `forbidden` for everybody else. What is done, and not only looked at, goes to the audit list. */
const adminOnly: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const { caller } = context.var
  if (caller.kind !== 'admin') return refuse(caller, 'the admin token')
  await next()
  await auditAction(context, caller.fingerprint)
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
  spokenProtocolOnly,
}
