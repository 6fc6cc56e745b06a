// Snapshots of a search, and the way back to one.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { rolledBackSchema, snapshotListSchema, snapshotSchema, unwrap } from '../../protocol/index.ts'
import { bearer, json } from './answers.ts'
import { adminOnly, callerOf, ownSearchOnly, type RouteEnvironment } from './auth.ts'
import { withProblems } from './problems.ts'
import { searchParams } from './searches.ts'

const tags = ['snapshots']

const listSnapshots = createRoute({
  method: 'get',
  path: '/v1/searches/{searchId}/snapshots',
  summary: 'What a search can be taken back to, and how it was',
  tags,
  security: bearer,
  middleware: ownSearchOnly,
  request: { params: searchParams },
  responses: withProblems({ 200: json(snapshotListSchema, 'Snapshots and rollbacks') }, 'forbidden', 'not-found'),
})

const takeSnapshot = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/snapshots',
  summary: 'Take a snapshot now; the oldest makes room for it',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams },
  responses: withProblems({ 201: json(snapshotSchema, 'Taken') }, 'forbidden', 'not-found', 'conflict'),
})

const rollBack = createRoute({
  method: 'post',
  path: '/v1/searches/{searchId}/snapshots/{snapshot}/rollback',
  summary: 'Take the search back to a snapshot, paused: what has happened since counts no more, and snapshots of since are deleted',
  tags,
  security: bearer,
  middleware: adminOnly,
  request: { params: searchParams.extend({ snapshot: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) }) },
  responses: withProblems({ 200: json(rolledBackSchema, 'Taken back, or under way') }, 'forbidden', 'not-found', 'conflict'),
})

function addSnapshotRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(listSnapshots, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).snapshots(callerOf(context))), 200)
  })

  app.openapi(takeSnapshot, async (context) => {
    const { searchId } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).takeSnapshot()), 201)
  })

  app.openapi(rollBack, async (context) => {
    const { searchId, snapshot } = context.req.valid('param')
    return context.json(unwrap(await context.var.ports.search(searchId).rollBack(snapshot)), 200)
  })
}

export { addSnapshotRoutes }
