// The HTTP interface: validation, tokens, problem documents, and the OpenAPI document made from the same schemas.

import { createRoute, OpenAPIHono } from '@hono/zod-openapi'
import { healthSchema, spokenProtocols, VERSION } from '../../protocol/index.ts'
import { addTokenRoutes } from './agent-tokens.ts'
import { addAgentRoutes } from './agents.ts'
import { json } from './answers.ts'
import { addAuditRoutes } from './audit.ts'
import { authenticate, type RouteEnvironment } from './auth.ts'
import { addLatencyTableRoutes } from './latency-tables.ts'
import { addMetricsRoutes } from './metrics.ts'
import type { Ports } from './ports.ts'
import { createNotFound, onError, validationHook } from './problems.ts'
import { addProfileRoutes } from './profiles.ts'
import { createRefusals } from './refusals.ts'
import { identifyRequest, logRequest } from './request-log.ts'
import { addSearchFileRoutes } from './search-files.ts'
import { addSearchRoutes } from './searches.ts'
import { addSnapshotRoutes } from './snapshots.ts'
import { addTrainingRoutes } from './trainings.ts'
import { addWakeUpRoutes } from './wake-ups.ts'

const health = createRoute({
  method: 'get',
  path: '/health',
  summary: 'Whether the coordinator answers',
  tags: ['health'],
  responses: { 200: json(healthSchema, 'It does') },
})

/** The application; `portsOf` connects it to an environment. */
function createApp<Bindings extends object>(portsOf: (bindings: Bindings) => Ports): OpenAPIHono<RouteEnvironment<Bindings>> {
  const app = new OpenAPIHono<RouteEnvironment<Bindings>>({ defaultHook: validationHook })
  const routes = app as unknown as OpenAPIHono<RouteEnvironment>
  const refusals = createRefusals()
  routes.onError(onError)
  routes.use('*', identifyRequest)
  app.openapi(health, (context) => context.json({ status: 'ok' as const, version: VERSION, protocols: [...spokenProtocols] }, 200))

  for (const path of ['/v1/*', '/metrics']) {
    app.use(path, async (context, next) => {
      context.set('ports', portsOf(context.env))
      context.set('refusals', refusals)
      await next()
    })
    routes.use(path, logRequest)
    routes.use(path, authenticate)
  }

  addSearchRoutes(routes)
  addAgentRoutes(routes)
  addLatencyTableRoutes(routes)
  addProfileRoutes(routes)
  addTrainingRoutes(routes)
  addTokenRoutes(routes)
  addAuditRoutes(routes)
  addMetricsRoutes(routes)
  addSearchFileRoutes(routes)
  addSnapshotRoutes(routes)
  addWakeUpRoutes(routes)

  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description: 'The admin token, the agent token of one search or one training, the token of one profile, or a code that opens one.',
  })
  app.doc31('/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'Gatehouse coordinator',
      version: VERSION,
      description: 'Neural architecture search across machines. Refusals are RFC 9457 problem documents.',
    },
  })
  const paths = app.routes
    .filter((route) => route.method !== 'ALL')
    .map((route) => ({ method: route.method, pattern: new RegExp(`^${route.path.replaceAll(/:[^/]+/g, '[^/]+')}$`) }))
  routes.notFound(createNotFound((method, path) => paths.some((route) => route.method === method && route.pattern.test(path))))
  return app
}

export { createApp }
