// Sockets for wake-ups (protocol/wake-ups.ts), of agents that wait and of those who look at the status.

import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import * as z from 'zod'
import { searchIdSchema, trainingIdSchema, unwrap, WAKE_UPS_PROTOCOL, wakeUpsQuerySchema } from '../../protocol/index.ts'
import { bearer } from './answers.ts'
import { callerOf, ownSearchOnly, ownTrainingOnly, type RouteEnvironment } from './auth.ts'
import type { SocketPort } from './ports.ts'
import { withProblems } from './problems.ts'
import { offersProtocol } from './socket-protocols.ts'

const common = { method: 'get', security: bearer } as const
const headers = z.object({
  upgrade: z
    .string()
    .regex(/^websocket$/i, 'expected websocket')
    .describe('`websocket`'),
})
const responses = withProblems(
  {
    101: {
      description:
        'A WebSocket. The coordinator sends JSON texts with a `kind`: `work`, or `status`. It answers `ping` by `pong`, and closes the socket at anything else',
    },
  },
  'forbidden',
  'not-found',
  'overloaded',
)

const searchWakeUps = createRoute({
  ...common,
  path: '/v1/searches/{searchId}/wake-ups',
  summary: 'A socket that says when to ask for work, or for the status',
  tags: ['searches'],
  middleware: ownSearchOnly,
  request: { params: z.object({ searchId: searchIdSchema }), query: wakeUpsQuerySchema, headers },
  responses,
})

const trainingWakeUps = createRoute({
  ...common,
  path: '/v1/trainings/{trainingId}/wake-ups',
  summary: 'A socket that says when to ask for the training, or for the status',
  tags: ['trainings'],
  middleware: ownTrainingOnly,
  request: { params: z.object({ trainingId: trainingIdSchema }), query: wakeUpsQuerySchema, headers },
  responses,
})

/** The answer that opens the socket. */
async function open(context: Context<RouteEnvironment>, port: SocketPort, agentId: string | undefined): Promise<Response> {
  const { webSocket } = unwrap(await port({ caller: callerOf(context), agentId: agentId ?? null }))
  const chosen = new Headers()
  if (offersProtocol(context.req.header('Sec-WebSocket-Protocol'), WAKE_UPS_PROTOCOL))
    chosen.set('Sec-WebSocket-Protocol', WAKE_UPS_PROTOCOL)
  return new Response(null, { status: 101, webSocket, headers: chosen })
}

function addWakeUpRoutes(app: OpenAPIHono<RouteEnvironment>): void {
  app.openapi(searchWakeUps, (context) => {
    const { searchId } = context.req.valid('param')
    return open(context, context.var.ports.searchSocket(searchId), context.req.valid('query').agentId)
  })

  app.openapi(trainingWakeUps, (context) => {
    const { trainingId } = context.req.valid('param')
    return open(context, context.var.ports.trainingSocket(trainingId), context.req.valid('query').agentId)
  })
}

export { addWakeUpRoutes }
