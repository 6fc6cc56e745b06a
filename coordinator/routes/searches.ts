// Searches, for people and scripts: create, list, read, command, delete.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import * as z from 'zod'
import {
  architectureSchema,
  createId,
  createSearchResponseSchema,
  datasetBindingSchema,
  logEntrySchema,
  MAX_JSON_BYTES,
  MAX_METRICS_PAGE,
  MAX_SMALL_JSON_BYTES,
  metricSchema,
  phaseSchema,
  ProblemError,
  rebuildRequestSchema,
  rebuiltSchema,
  type SearchConfig,
  searchConfigSchema,
  searchIdSchema,
  searchStatusSchema,
  type SearchSummary,
  searchSummarySchema,
  webhookUrlSchema,
  unreadableField,
  unwrap,
} from '../../protocol/index.ts'
import { bearer, json } from './answers.ts'
import { adminOnly, callerOf, ownSearchOnly, type RouteEnvironment } from './auth.ts'
import { bodyOf } from './bodies.ts'
import { enlist, pageQuery, readList } from './lists.ts'
import type { Ports, VersionedTable } from './ports.ts'
import { withProblems } from './problems.ts'
import { issueAgentToken } from './tokens.ts'

const ID_BYTES = 12

const searchParams = z.object({ searchId: searchIdSchema })
const tags = ['searches']

/** Null for one of a form that this version does not know. */
function summaryOf(json: string): SearchSummary | null {
  return searchSummarySchema.safeParse(JSON.parse(json)).data ?? null
}

/** A search that turns out to be unreadable is asked by lists, and shown as such. */
const noteUnreadable: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  await next()
  const { error } = context
  const searchId = context.req.param('searchId')
  if (error instanceof ProblemError && error.code === 'unreadable' && searchId !== undefined)
    await context.var.ports.searches.forget(searchId)
}

async function findTable(ports: Ports, wanted: SearchConfig['latency']['table']): Promise<VersionedTable> {
  const table = await ports.tables.read(wanted.name, wanted.version)
  if (table) return table
  const named = wanted.version === undefined ? wanted.name : `${wanted.name}@${wanted.version}`
  const detail = `there is no latency table ${named}; publish one with \`latency-lut publish\` (one just published elsewhere may take a minute to arrive)`
  throw new ProblemError('not-found', detail, [{ path: 'latency.table', message: 'unknown table' }])
}

const createSearch = createRoute({
  method: 'post',
  path: '/v1/searches',
  summary: 'Create a search',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_JSON_BYTES)] as const,
  request: { body: { required: true, content: { 'application/json': { schema: searchConfigSchema } } } },
  responses: withProblems(
    { 201: json(createSearchResponseSchema, 'Created; agents may start') },
    'forbidden',
    'not-found',
    'missing-latencies',
    'too-large',
    'unsupported-media-type',
  ),
})

const listSearches = createRoute({
  method: 'get',
  path: '/v1/searches',
  summary: 'List searches, newest first',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: {
    query: pageQuery('searches'),
  },
  responses: withProblems(
    { 200: json(z.object({ searches: z.array(searchSummarySchema), unreadable: unreadableField }), 'The searches') },
    'forbidden',
  ),
})

const readSearch = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}',
  summary: 'Status of a search',
  tags,
  security: bearer,
  middleware: ownSearchOnly,
  request: { params: searchParams },
  responses: withProblems({ 200: json(searchStatusSchema, 'The status') }, 'forbidden', 'not-found'),
})

const deleteSearch = createRoute({
  method: 'delete',
  path: '/v1/searches/{searchId}',
  summary: 'Delete a search with everything that belongs to it',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 204: { description: 'Deleted' } }, 'forbidden', 'not-found'),
})

const commandRoute = (command: 'pause' | 'resume' | 'stop', summary: string) =>
  createRoute({
    method: 'post',
    path: `/v1/searches/{searchId}/${command}`,
    summary,
    tags,
    security: bearer,
    middleware: adminOnly,
    request: { params: searchParams },
    responses: withProblems(
      { 200: json(z.object({ phase: phaseSchema }), 'The phase it is in now') },
      'forbidden',
      'not-found',
      'conflict',
    ),
  })
const commandRoutes = {
  pause: commandRoute('pause', 'Hand out no more tasks until resumed; results of tasks under way are still taken'),
  resume: commandRoute('resume', 'Go on after a pause'),
  stop: commandRoute('stop', 'End the search where it is; agents are told that it has ended'),
}

const bindDataset = createRoute({
  method: 'put',
  path: '/v1/searches/{searchId}/dataset',
  summary: 'Say which data the search runs on, while no result is in',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const,
  request: { params: searchParams, body: { required: true, content: { 'application/json': { schema: datasetBindingSchema } } } },
  responses: withProblems(
    { 200: json(z.object({ datasetFingerprint: z.string().nullable() }), 'What it is bound to now; agents with other data have to leave') },
    'forbidden',
    'not-found',
    'conflict',
    'too-large',
    'unsupported-media-type',
  ),
})

const readArchitecture = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/architecture',
  summary: 'The most probable architecture as of now; final once the search has finished',
  tags,
  security: bearer,
  middleware: ownSearchOnly,
  request: { params: searchParams },
  responses: withProblems({ 200: json(architectureSchema, 'The architecture') }, 'forbidden', 'not-found'),
})

const entriesQuery = z.object({
  after: z.coerce.number().int().min(0).default(0).describe('only entries with a higher seq'),
  limit: z.coerce.number().int().min(1).max(MAX_METRICS_PAGE).default(MAX_METRICS_PAGE),
})

const readMetrics = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/metrics',
  summary: 'History: loss, accuracy, entropy and expected latency after every result',
  tags,
  security: bearer,
  middleware: ownSearchOnly,
  request: { params: searchParams, query: entriesQuery },
  responses: withProblems({ 200: json(z.object({ metrics: z.array(metricSchema) }), 'Entries in order') }, 'forbidden', 'not-found'),
})

const readLog = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/log',
  summary: 'Every task and its result in the order of application: enough to replay the search',
  tags,
  security: bearer,
  middleware: ownSearchOnly,
  request: { params: searchParams, query: entriesQuery },
  responses: withProblems({ 200: json(z.object({ entries: z.array(logEntrySchema) }), 'Entries in order') }, 'forbidden', 'not-found'),
})

const rebuildAlpha = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/rebuild-alpha',
  summary: 'Rebuild alpha from the log without the results of an agent, or of a range; what weights have learnt stays',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const,
  request: { params: searchParams, body: { required: true, content: { 'application/json': { schema: rebuildRequestSchema } } } },
  responses: withProblems(
    { 200: json(rebuiltSchema, 'Rebuilt') },
    'forbidden',
    'not-found',
    'conflict',
    'too-large',
    'unsupported-media-type',
  ),
})

const webhookFields = {
  url: z.string().nullable().describe('null: nobody is told'),
  waiting: z.int().describe('phases that it has not heard of yet'),
}

const readWebhook = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/webhook',
  summary: 'Who is told when the search comes into another phase',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 200: json(z.object(webhookFields), 'The webhook') }, 'forbidden', 'not-found'),
})

const setWebhook = createRoute({
  method: 'put',
  path: '/v1/searches/{searchId}/webhook',
  summary: 'Tell somebody when the search comes into another phase, in place of whoever was told',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const,
  request: {
    params: searchParams,
    body: { required: true, content: { 'application/json': { schema: z.strictObject({ url: webhookUrlSchema }) } } },
  },
  responses: withProblems(
    { 200: json(z.object({ secret: z.string() }), 'What it is signed with, shown this once') },
    'forbidden',
    'not-found',
    'too-large',
    'unsupported-media-type',
  ),
})

const removeWebhook = createRoute({
  method: 'delete',
  path: '/v1/searches/{searchId}/webhook',
  summary: 'Tell nobody any more',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 204: { description: 'Nobody is told' } }, 'forbidden', 'not-found'),
})

function addSearchRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.use('/v1/searches/:searchId/*', noteUnreadable)
  app.openapi(createSearch, async (context) => {
    const { ports } = context.var
    const config = context.req.valid('json')
    const table = await findTable(ports, config.latency.table)
    const searchId = createId('s', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
    const { token, record } = await issueAgentToken(await ports.signer(), searchId, 'first')
    const status = await enlist(ports.searches, searchId, record.createdAtMs, () =>
      ports.search(searchId).create(searchId, config, table, record),
    )
    const answer = {
      searchId,
      agentToken: token,
      tokenId: record.tokenId,
      expectedLatencyMs: status.expectedLatencyMs,
      tableVersion: table.version,
      datasetFingerprint: config.dataset.fingerprint ?? null,
    }
    return context.json(answer, 201)
  })

  app.openapi(listSearches, async (context) => {
    const { ports } = context.var
    const { members, unreadable } = await readList(
      ports.searches,
      context.req.valid('query'),
      (id) => ports.search(id).summary(),
      summaryOf,
    )
    return context.json({ searches: members, unreadable }, 200)
  })

  app.openapi(readSearch, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).status(callerOf(context))), 200)
  })

  app.openapi(deleteSearch, async (context) => {
    const { searchId } = context.req.valid('param')
    const outcome = await context.var.ports.search(searchId).destroy(searchId)
    // Also where there is no search any more: a deletion cut short here can be repeated.
    unwrap(await context.var.ports.searches.remove(searchId))
    unwrap(outcome)
    return context.body(null, 204)
  })

  for (const command of ['pause', 'resume', 'stop'] as const) {
    app.openapi(commandRoutes[command], async (context) => {
      const { searchId } = context.req.valid('param')
      return context.json({ phase: unwrap(await context.var.ports.search(searchId).command(callerOf(context), command)) }, 200)
    })
  }

  app.openapi(bindDataset, async (context) => {
    const { searchId } = context.req.valid('param')
    const { fingerprint } = context.req.valid('json')
    return context.json(unwrap(await context.var.ports.search(searchId).bindDataset(fingerprint)), 200)
  })

  app.openapi(readArchitecture, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).architecture(callerOf(context))), 200)
  })

  app.openapi(readMetrics, async (context) => {
    const { searchId } = context.req.valid('param')
    const { after, limit } = context.req.valid('query')
    return context.json({ metrics: unwrap(await context.var.ports.search(searchId).metrics(callerOf(context), after, limit)) }, 200)
  })

  app.openapi(readLog, async (context) => {
    const { searchId } = context.req.valid('param')
    const { after, limit } = context.req.valid('query')
    return context.json({ entries: unwrap(await context.var.ports.search(searchId).log(callerOf(context), after, limit)) }, 200)
  })

  app.openapi(rebuildAlpha, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).rebuildAlpha(context.req.valid('json'))), 200)
  })

  app.openapi(readWebhook, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).webhook()), 200)
  })

  app.openapi(setWebhook, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).setWebhook(context.req.valid('json').url)), 200)
  })

  app.openapi(removeWebhook, async (context) => {
    const { searchId } = context.req.valid('param')
    unwrap(await context.var.ports.search(searchId).setWebhook(null))
    return context.body(null, 204)
  })
}

export { addSearchRoutes, searchParams }
