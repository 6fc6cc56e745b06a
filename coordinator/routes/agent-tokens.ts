// Tokens of the agents of one search or one training: list, issue, revoke.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { MAX_SMALL_JSON_BYTES, searchIdSchema, tokenIdSchema, trainingIdSchema, unwrap } from '../../protocol/index.ts'
import { adminOnly, type RouteEnvironment } from './auth.ts'
import { bearer, json } from './answers.ts'
import { bodyOf } from './bodies.ts'
import type { Ports, TokensPort } from './ports.ts'
import { withProblems } from './problems.ts'
import { issueAgentToken } from './tokens.ts'

/** What tokens are issued for. */
type Owner = {
  /** For people. */
  readonly name: string
  readonly path: string
  readonly tag: string
  readonly ownerId: z.ZodType<string>
  readonly portOf: (ports: Ports, ownerId: string) => TokensPort
}

const owners: readonly Owner[] = [
  {
    name: 'search',
    path: '/v1/searches',
    tag: 'searches',
    ownerId: searchIdSchema,
    portOf: (ports, ownerId) => ports.search(ownerId),
  },
  {
    name: 'training',
    path: '/v1/trainings',
    tag: 'trainings',
    ownerId: trainingIdSchema,
    portOf: (ports, ownerId) => ports.training(ownerId),
  },
]

const tokenSummarySchema = z.object({ tokenId: tokenIdSchema, label: z.string(), createdAtMs: z.int() }).meta({ id: 'TokenSummary' })
const labelSchema = z.strictObject({ label: z.string().min(1).max(100) })

function addTokenRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  for (const owner of owners) addTokenRoutesOf(app, owner)
}

function addTokenRoutesOf(app: OpenAPIHono<RouteEnvironment>, { name, path, tag, ownerId, portOf }: Owner): void {
  const idName = `${name}Id`
  const place = `${path}/{${idName}}/tokens`
  const params = z.object({ [idName]: ownerId })
  const tokenParams = z.object({ [idName]: ownerId, tokenId: tokenIdSchema })
  const common = { tags: [tag], security: bearer }

  const list = createRoute({
    ...common,
    method: 'get',
    path: place,
    summary: `Agent tokens of a ${name}`,
    middleware: adminOnly,
    request: { params },
    responses: withProblems(
      { 200: json(z.object({ tokens: z.array(tokenSummarySchema) }), 'Tokens without their secrets') },
      'forbidden',
      'not-found',
    ),
  })
  const issue = createRoute({
    ...common,
    method: 'post',
    path: place,
    summary: 'Issue another agent token',
    middleware: [adminOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const,
    request: { params, body: { required: true, content: { 'application/json': { schema: labelSchema } } } },
    responses: withProblems(
      { 201: json(z.object({ tokenId: tokenIdSchema, agentToken: z.string() }), 'The token, shown this once') },
      'forbidden',
      'not-found',
      'too-large',
      'unsupported-media-type',
    ),
  })
  const revoke = createRoute({
    ...common,
    method: 'delete',
    path: `${place}/{tokenId}`,
    summary: 'Revoke an agent token',
    middleware: adminOnly,
    request: { params: tokenParams },
    responses: withProblems({ 204: { description: 'Revoked: no object accepts it any more' } }, 'forbidden', 'not-found'),
  })

  const idOf = (given: Record<string, string | undefined>): string => given[idName] ?? ''

  app.openapi(list, async (context) => {
    const id = idOf(context.req.valid('param'))
    return context.json({ tokens: unwrap(await portOf(context.var.ports, id).listTokens()) }, 200)
  })

  app.openapi(issue, async (context) => {
    const { ports } = context.var
    const id = idOf(context.req.valid('param'))
    const { token, record } = await issueAgentToken(await ports.signer(), id, context.req.valid('json').label)
    unwrap(await portOf(ports, id).addToken(record))
    return context.json({ tokenId: record.tokenId, agentToken: token }, 201)
  })

  app.openapi(revoke, async (context) => {
    const given = context.req.valid('param')
    unwrap(await portOf(context.var.ports, idOf(given)).removeToken(given['tokenId'] ?? ''))
    return context.body(null, 204)
  })
}

export { addTokenRoutes }
