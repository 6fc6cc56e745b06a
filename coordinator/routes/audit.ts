// The list of what administrators did.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import * as z from 'zod'
import { auditEntrySchema, MAX_AUDIT_PAGE, unwrap } from '../../protocol/index.ts'
import { adminOnly, type RouteEnvironment } from './auth.ts'
import { withProblems } from './problems.ts'
import { bearer, json } from './answers.ts'

const readAudit = createRoute({
  method: 'get',
  path: '/v1/audit',
  summary: 'What was done with the admin token, newest first',
  tags: ['operations'],
  security: bearer,
  middleware: adminOnly,
  request: {
    query: z.object({
      before: z.coerce.number().int().min(1).optional().describe('only entries with a lower seq'),
      limit: z.coerce.number().int().min(1).max(MAX_AUDIT_PAGE).default(MAX_AUDIT_PAGE),
    }),
  },
  responses: withProblems({ 200: json(z.object({ entries: z.array(auditEntrySchema) }), 'Entries, newest first') }, 'forbidden'),
})

function addAuditRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(readAudit, async (context) => {
    const { before = Number.MAX_SAFE_INTEGER, limit } = context.req.valid('query')
    return context.json({ entries: unwrap(await context.var.ports.audit.actions(before, limit)) }, 200)
  })
}

export { addAuditRoutes }
