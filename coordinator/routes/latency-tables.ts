// Latency tables: publish, list, read.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { canonicalJson, type LatencyTable, latencyTableSchema, tableNameSchema, tableVersionSchema } from '../../latency-lut/table/table.ts'
import { MAX_JSON_BYTES, ProblemError, tableSummarySchema, unreadableTablesField } from '../../protocol/index.ts'
import { adminOnly, type RouteEnvironment } from './auth.ts'
import { bearer, json } from './answers.ts'
import { bodyOf } from './bodies.ts'
import type { Ports, VersionedTable } from './ports.ts'
import { withProblems } from './problems.ts'
import { sha256Hex } from './tokens.ts'

const tags = ['latency tables']
const middleware = adminOnly

const publishTable = createRoute({
  method: 'post',
  path: '/v1/latency-tables',
  summary: 'Publish a version of a latency table',
  tags,
  security: bearer,
  middleware: [adminOnly, bodyOf('json', MAX_JSON_BYTES)] as const,
  request: { body: { required: true, content: { 'application/json': { schema: latencyTableSchema } } } },
  responses: withProblems(
    {
      201: json(
        z.object({ name: tableNameSchema, version: tableVersionSchema }),
        'Published; the version is the SHA-256 of its canonical JSON',
      ),
    },
    'forbidden',
    'too-large',
    'unsupported-media-type',
  ),
})

const listTables = createRoute({
  method: 'get',
  path: '/v1/latency-tables',
  summary: 'The last version of every table',
  tags,
  security: bearer,
  middleware,
  responses: withProblems(
    { 200: json(z.object({ tables: z.array(tableSummarySchema), unreadable: unreadableTablesField }), 'Tables without their entries') },
    'forbidden',
  ),
})

const readLatest = createRoute({
  method: 'get',
  path: '/v1/latency-tables/{name}',
  summary: 'The version of a table that was published last',
  tags,
  security: bearer,
  middleware,
  request: { params: z.object({ name: tableNameSchema }) },
  responses: withProblems({ 200: json(latencyTableSchema, 'The table') }, 'forbidden', 'not-found'),
})

const readVersion = createRoute({
  method: 'get',
  path: '/v1/latency-tables/{name}/{version}',
  summary: 'One version of a table',
  tags,
  security: bearer,
  middleware,
  request: { params: z.object({ name: tableNameSchema, version: tableVersionSchema }) },
  responses: withProblems({ 200: json(latencyTableSchema, 'The table') }, 'forbidden', 'not-found'),
})

const deleted = json(z.object({ name: tableNameSchema, versions: z.array(tableVersionSchema) }), 'The versions that are gone')

const deleteTable = createRoute({
  method: 'delete',
  path: '/v1/latency-tables/{name}',
  summary: 'Delete all versions of a table; searches keep what they took from it',
  tags,
  security: bearer,
  middleware,
  request: { params: z.object({ name: tableNameSchema }) },
  responses: withProblems({ 200: deleted }, 'forbidden', 'not-found'),
})

const deleteVersion = createRoute({
  method: 'delete',
  path: '/v1/latency-tables/{name}/{version}',
  summary: 'Delete one version of a table; its name then stands for the one published before it',
  tags,
  security: bearer,
  middleware,
  request: { params: z.object({ name: tableNameSchema, version: tableVersionSchema }) },
  responses: withProblems({ 200: deleted }, 'forbidden', 'not-found'),
})

function found(table: VersionedTable | null, name: string): Omit<VersionedTable, 'version'> {
  if (!table) throw new ProblemError('not-found', `there is no latency table ${name}`)
  const { version: _, ...content } = table
  return content
}

/** Stores a version of a table and makes it the one that its name stands for. */
async function publish(ports: Ports, table: LatencyTable): Promise<{ name: string; version: string }> {
  const version = await sha256Hex(canonicalJson(table))
  await ports.tables.publish(table, version, Date.now())
  return { name: table.name, version }
}

function addLatencyTableRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(publishTable, async (context) => {
    return context.json(await publish(context.var.ports, context.req.valid('json')), 201)
  })

  app.openapi(listTables, async (context) => context.json(await context.var.ports.tables.list(), 200))

  app.openapi(readLatest, async (context) => {
    const { name } = context.req.valid('param')
    return context.json(found(await context.var.ports.tables.read(name), name), 200)
  })

  app.openapi(readVersion, async (context) => {
    const { name, version } = context.req.valid('param')
    return context.json(found(await context.var.ports.tables.read(name, version), `${name}@${version}`), 200)
  })

  app.openapi(deleteTable, async (context) => {
    const { name } = context.req.valid('param')
    return context.json(await remove(context.var.ports, name), 200)
  })

  app.openapi(deleteVersion, async (context) => {
    const { name, version } = context.req.valid('param')
    return context.json(await remove(context.var.ports, name, version), 200)
  })
}

/** Throws ProblemError `not-found` where there was nothing to delete. */
async function remove(ports: Ports, name: string, version?: string): Promise<{ name: string; versions: string[] }> {
  const versions = await ports.tables.remove(name, version)
  if (versions.length > 0) return { name, versions }
  throw new ProblemError('not-found', `there is no latency table ${version === undefined ? name : `${name}@${version}`}`)
}

export { addLatencyTableRoutes, publish }
