// Searches as files: read page by page, and made again of such pages.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import {
  createId,
  createSearchResponseSchema,
  exportHeadSchema,
  exportPageSchema,
  MAX_SEARCH_FILE_LINE_BYTES,
  MAX_SHARDS,
  MAX_SMALL_JSON_BYTES,
  rowPageSchema,
  searchFormsSchema,
  searchIdSchema,
  unwrap,
} from '../../protocol/index.ts'
import { bearer, json } from './answers.ts'
import { adminOnly, type RouteEnvironment } from './auth.ts'
import { bodyOf } from './bodies.ts'
import { enlist } from './lists.ts'
import { withProblems } from './problems.ts'
import { searchParams } from './searches.ts'
import { issueAgentToken } from './tokens.ts'

const ID_BYTES = 12
const MAX_CURSOR_CHARACTERS = 2000
const tags = ['searches as files']

const readHead = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/export',
  summary: 'What an export begins with: of which forms the rows are, and at which revision the search is',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 200: json(exportHeadSchema, 'The head') }, 'forbidden', 'not-found', 'conflict'),
})

const cursorQuery = z.object({ cursor: z.string().max(MAX_CURSOR_CHARACTERS).optional().describe('`next` of the page before') })

const readSearchPage = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/export/search',
  summary: 'Rows of the search',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams, query: cursorQuery },
  responses: withProblems({ 200: json(exportPageSchema, 'A page, about 1 MiB') }, 'forbidden', 'not-found'),
})

const readShardPage = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/export/shards/{shard}',
  summary: 'Rows of a shard of its weights',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: {
    params: searchParams.extend({
      shard: z.coerce
        .number()
        .int()
        .min(0)
        .max(MAX_SHARDS - 1),
    }),
    query: cursorQuery,
  },
  responses: withProblems({ 200: json(exportPageSchema, 'A page, about 1 MiB') }, 'forbidden', 'not-found'),
})

const beginImport = createRoute({
  method: 'post',
  path: '/v1/search-imports',
  summary: 'Begin a search that is made of rows; what has not ended after a day is deleted',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_SMALL_JSON_BYTES)] as const,
  request: { body: { required: true, content: { 'application/json': { schema: searchFormsSchema } } } },
  responses: withProblems(
    { 201: json(z.object({ searchId: searchIdSchema }), 'The id that the search will have; it can be deleted by it') },
    'forbidden',
    'too-large',
    'unsupported-media-type',
  ),
})

const importPage = createRoute({
  method: 'put',
  path: '/v1/search-imports/{searchId}/rows',
  summary: 'Rows of it; the same ones again change nothing',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_SEARCH_FILE_LINE_BYTES)] as const,
  request: { params: searchParams, body: { required: true, content: { 'application/json': { schema: rowPageSchema } } } },
  responses: withProblems({ 204: { description: 'Stored' } }, 'forbidden', 'not-found', 'too-large', 'unsupported-media-type'),
})

const finishImport = createRoute({
  method: 'post',
  path: '/v1/search-imports/{searchId}/finish',
  summary: 'Make the search of the rows that have come; where they are not whole, they are deleted',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 201: json(createSearchResponseSchema, 'Imported; agents may start') }, 'forbidden', 'not-found'),
})

function addSearchFileRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(readHead, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).exportHead()), 200)
  })

  app.openapi(readSearchPage, async (context) => {
    const { searchId } = context.req.valid('param')
    const { cursor = null } = context.req.valid('query')
    return context.json(unwrap(await context.var.ports.search(searchId).exportPage(cursor)), 200)
  })

  app.openapi(readShardPage, async (context) => {
    const { searchId, shard } = context.req.valid('param')
    const { cursor = null } = context.req.valid('query')
    return context.json(unwrap(await context.var.ports.shard(searchId, shard).exportPage(cursor)), 200)
  })

  app.openapi(beginImport, async (context) => {
    const { ports } = context.var
    const forms = context.req.valid('json')
    const searchId = createId('s', crypto.getRandomValues(new Uint8Array(ID_BYTES)))
    const createdAtMs = Date.now()
    await enlist(ports.searches, searchId, createdAtMs, () => ports.search(searchId).beginImport(searchId, createdAtMs, forms))
    return context.json({ searchId }, 201)
  })

  app.openapi(importPage, async (context) => {
    const { ports } = context.var
    const { searchId } = context.req.valid('param')
    const page = context.req.valid('json')
    const { object } = page
    unwrap(await (object === 'search' ? ports.search(searchId) : ports.shard(searchId, object)).importRows(page))
    return context.body(null, 204)
  })

  app.openapi(finishImport, async (context) => {
    const { ports } = context.var
    const { searchId } = context.req.valid('param')
    const { token, record } = await issueAgentToken(await ports.signer(), searchId, 'first')
    const { expectedLatencyMs, latencyTable } = unwrap(await ports.search(searchId).finishImport(record))
    return context.json(
      { searchId, agentToken: token, tokenId: record.tokenId, expectedLatencyMs, tableVersion: latencyTable.version },
      201,
    )
  })
}

export { addSearchFileRoutes }
