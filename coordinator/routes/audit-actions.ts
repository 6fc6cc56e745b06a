// What administrators do goes to a list: who, when, what, and how it ended.

import type { Context } from 'hono'
import { unwrap } from '../../protocol/index.ts'
import type { RouteEnvironment } from './route-environment.ts'
import { logFailure } from './request-log.ts'

const FIRST_REFUSAL = 400
const FIRST_SERVER_ERROR = 500

/**
 * Notes a request of an administrator, once it is answered. What was refused has changed nothing, and is left out; what failed may have. An
 * entry that cannot be written is logged, and the answer stands.
 */
async function auditAction(context: Context<RouteEnvironment>, actor: string): Promise<void> {
  const { method, path } = context.req
  const { status } = context.res
  if (method === 'GET' || (status >= FIRST_REFUSAL && status < FIRST_SERVER_ERROR)) return
  const { ports, requestId } = context.var
  try {
    unwrap(await ports.audit.addAction({ atMs: Date.now(), actor, method, path, status, requestId }))
  } catch (error) {
    logFailure(error, requestId)
  }
}

export { auditAction }
