// Profiles in browsers. The administrator opens one and gets a code; a browser shows the code, gets a token, sends timings
// and asks for the tables.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import {
  createId,
  createProfileCode,
  createProfileResponseSchema,
  MAX_JSON_BYTES,
  openProfileResponseSchema,
  parseProfileCode,
  printProfileCode,
  ProblemError,
  profileBackendSchema,
  profileBatchResponseSchema,
  profileBatchSchema,
  profileIdSchema,
  profileRequestSchema,
  profileStatusSchema,
  type ProfileTable,
  unreadableField,
  unwrap,
} from '../../protocol/index.ts'
import { adminOnly, ownProfileOnly, profileCallerOf, type RouteEnvironment } from './auth.ts'
import { bearer, json } from './answers.ts'
import { bodyOf } from './bodies.ts'
import { publish } from './latency-tables.ts'
import { enlist, readList } from './lists.ts'
import { withProblems } from './problems.ts'
import { issueProfileToken, sha256 } from './tokens.ts'

const CODE_BYTES = 10

const tags = ['profiles in browsers']
const params = z.object({ profileId: profileIdSchema })
const body = <S extends z.ZodType>(schema: S) => ({ required: true, content: { 'application/json': { schema } } })

/** A profile is found by its code without a list of codes: its id follows from the code, and not the code from the id. */
async function idOfCode(code: string): Promise<string> {
  return createId('p', await sha256(`gatehouse profile id ${code}`))
}

const createProfile = createRoute({
  method: 'post',
  path: '/v1/profiles',
  summary: 'Open a profile for a browser to take over',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_JSON_BYTES)] as const,
  request: { body: body(profileRequestSchema) },
  responses: withProblems(
    { 201: json(createProfileResponseSchema, 'Opened; give the link to the device') },
    'forbidden',
    'conflict',
    'too-large',
    'unsupported-media-type',
  ),
})

const listProfiles = createRoute({
  method: 'get',
  path: '/v1/profiles',
  summary: 'The profiles opened last, newest first',
  tags,
  security: bearer,
  middleware: adminOnly,
  responses: withProblems(
    { 200: json(z.object({ profiles: z.array(profileStatusSchema), unreadable: unreadableField }), 'The profiles') },
    'forbidden',
  ),
})

const openProfile = createRoute({
  method: 'post',
  path: '/v1/profile-sessions',
  summary: 'Take over a profile: the code goes where a token would go',
  tags,
  security: bearer,
  responses: withProblems({ 201: json(openProfileResponseSchema, 'The token that the timings are sent with') }, 'forbidden'),
})

const readProfile = createRoute({
  method: 'get',
  path: '/v1/profiles/{profileId}',
  summary: 'What is measured, what has come, and the tables made of it',
  tags,
  security: bearer,
  middleware: ownProfileOnly,
  request: { params },
  responses: withProblems({ 200: json(profileStatusSchema, 'The profile') }, 'forbidden', 'not-found'),
})

const deleteProfile = createRoute({
  method: 'delete',
  path: '/v1/profiles/{profileId}',
  summary: 'Delete a profile; tables that were published stay',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params },
  responses: withProblems({ 204: { description: 'Deleted' } }, 'forbidden', 'not-found'),
})

const addBatch = createRoute({
  method: 'post',
  path: '/v1/profiles/{profileId}/batches',
  summary: 'Send rounds of timings; a batch that is known already changes nothing',
  tags,
  security: bearer,
  middleware: [ownProfileOnly, bodyOf('json', MAX_JSON_BYTES)] as const,
  request: { params, body: body(profileBatchSchema) },
  responses: withProblems(
    { 200: json(profileBatchResponseSchema, 'Stored, or known already') },
    'forbidden',
    'not-found',
    'conflict',
    'bad-numbers',
    'too-large',
    'unsupported-media-type',
  ),
})

const roundsSchema = z.object({ rounds: z.array(z.array(z.number())) })

const readRounds = createRoute({
  method: 'get',
  path: '/v1/profiles/{profileId}/rounds/{backend}',
  summary: 'All timings of one backend that are stored: a page that was reloaded goes on from them',
  tags,
  security: bearer,
  middleware: ownProfileOnly,
  request: { params: params.extend({ backend: profileBackendSchema }) },
  responses: withProblems({ 200: json(roundsSchema, 'Rounds in the order of their batches') }, 'forbidden', 'not-found'),
})

const finishProfile = createRoute({
  method: 'post',
  path: '/v1/profiles/{profileId}/finish',
  summary: 'Make tables of the timings stored and publish them; the profile takes no more',
  tags,
  security: bearer,
  middleware: ownProfileOnly,
  request: { params },
  responses: withProblems(
    { 200: json(profileStatusSchema, 'The profile with its tables; the same when asked again') },
    'forbidden',
    'not-found',
    'conflict',
    'missing-latencies',
  ),
})

const profilePage = createRoute({
  method: 'get',
  path: '/profile/{code}',
  summary: 'What a link leads to: the page that measures, with the code in the part that is not sent to servers',
  tags,
  request: { params: z.object({ code: z.string().max(100) }) },
  responses: withProblems({ 302: { description: 'To the page' } }),
})

function addProfileRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(createProfile, async (context) => {
    const { ports } = context.var
    const code = createProfileCode(crypto.getRandomValues(new Uint8Array(CODE_BYTES)))
    const profileId = await idOfCode(code)
    const codeHash = await sha256(code)
    const status = await enlist(ports.profiles, profileId, Date.now(), () =>
      ports.profile(profileId).create(profileId, context.req.valid('json'), codeHash),
    )
    const printed = printProfileCode(code)
    const url = new URL(`/profile/${printed}`, context.req.url).href
    return context.json({ profileId, code: printed, url, expiresAtMs: status.expiresAtMs }, 201)
  })

  app.openapi(listProfiles, async (context) => {
    const { ports } = context.var
    const { members, unreadable } = await readList(ports.profiles, {}, (id) => ports.profile(id).status({ kind: 'admin' }))
    return context.json({ profiles: members, unreadable }, 200)
  })

  app.openapi(openProfile, async (context) => {
    const { caller, ports } = context.var
    if (caller.kind !== 'profile-code')
      throw new ProblemError('forbidden', 'this needs the code of a profile as `Authorization: Bearer <code>`')
    const profileId = await idOfCode(caller.code)
    const token = await issueProfileToken(await ports.signer(), profileId)
    const status = unwrap(await ports.profile(profileId).open(await sha256(caller.code), await sha256(token)))
    return context.json({ profileId, token, status }, 201)
  })

  app.openapi(readProfile, async (context) => {
    const { profileId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.profile(profileId).status(profileCallerOf(context))), 200)
  })

  app.openapi(deleteProfile, async (context) => {
    const { profileId } = context.req.valid('param')
    const existed = await context.var.ports.profile(profileId).destroy()
    // Also where there is no profile any more: a deletion cut short here can be repeated.
    unwrap(await context.var.ports.profiles.remove(profileId))
    if (!existed) throw new ProblemError('not-found', 'there is no such profile')
    return context.body(null, 204)
  })

  app.openapi(addBatch, async (context) => {
    const { profileId } = context.req.valid('param')
    const outcome = await context.var.ports.profile(profileId).addBatch(profileCallerOf(context), context.req.valid('json'))
    return context.json(unwrap(outcome), 200)
  })

  app.openapi(readRounds, async (context) => {
    const { profileId, backend } = context.req.valid('param')
    const rounds = unwrap(await context.var.ports.profile(profileId).rounds(profileCallerOf(context), backend))
    return context.json({ rounds }, 200)
  })

  app.openapi(finishProfile, async (context) => {
    const { profileId } = context.req.valid('param')
    const { ports } = context.var
    const profile = ports.profile(profileId)
    const before = unwrap(await profile.status(profileCallerOf(context)))
    if (before.phase === 'published') return context.json(before, 200)
    const published: ProfileTable[] = []
    for (const { backend, table } of unwrap(await profile.tables(profileCallerOf(context)))) {
      published.push({ backend, ...(await publish(ports, table)) })
    }
    return context.json(unwrap(await profile.published(published)), 200)
  })

  app.openapi(profilePage, (context) => {
    const code = parseProfileCode(context.req.valid('param').code)
    return context.redirect(code === null ? '/profile/' : `/profile/#${printProfileCode(code)}`, 302)
  })
}

export { addProfileRoutes }
