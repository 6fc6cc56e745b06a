// What is known of every request afterwards: an id, in a header and in problem documents, and a line of JSON in the log.

import type { Context, MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import type { RouteEnvironment } from './route-environment.ts'

const REQUEST_ID_HEADER = 'X-Request-Id'
const FIRST_SERVER_ERROR = 500

/** Gives each request an id. */
const identifyRequest: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  context.set('requestId', crypto.randomUUID())
  await next()
  context.header(REQUEST_ID_HEADER, context.var.requestId)
}

/** Who has sent a request, as far as that was found out. */
function callerFields(context: Context<RouteEnvironment>): object {
  const caller = context.get('caller') as RouteEnvironment['Variables']['caller'] | undefined
  if (!caller) return { caller: null }
  switch (caller.kind) {
    case 'admin':
      return { caller: caller.kind, fingerprint: caller.fingerprint }
    case 'agent':
    case 'trainer':
      return { caller: caller.kind, tokenId: caller.tokenId }
    case 'profile':
    case 'profile-code':
      return { caller: caller.kind }
    default:
      return caller satisfies never
  }
}

/** A line for each request. The clock of a Worker stands still while it computes: `ms` is what it waited for others. */
const logRequest: MiddlewareHandler<RouteEnvironment> = async (context, next) => {
  const startedAtMs = Date.now()
  await next()
  const { requestLog } = context.var.ports
  const { status } = context.res
  if (requestLog === 'none' || (requestLog === 'failures' && status < FIRST_SERVER_ERROR)) return
  const line = {
    kind: 'request',
    requestId: context.var.requestId,
    method: context.req.method,
    // The last one that matched is the handler's, behind those of middleware.
    route: routePath(context, -1),
    ...context.req.param(),
    status,
    ms: Date.now() - startedAtMs,
    ...callerFields(context),
  }
  console.log(JSON.stringify(line))
}

/** What nobody foresaw, for whoever runs the coordinator; always logged. */
function logFailure(error: unknown, requestId: string | undefined): void {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined }
  console.error(JSON.stringify({ kind: 'failure', requestId: requestId ?? null, message, stack }))
}

export { identifyRequest, logFailure, logRequest }
