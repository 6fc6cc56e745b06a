// Every refusal leaves as a problem document; what nobody foresaw leaves as one too, without its stack.

import type { Context, ErrorHandler, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type * as z from 'zod'
import {
  fieldErrors,
  type FieldError,
  type ProblemCode,
  problemDocument,
  ProblemError,
  problemKinds,
  problemSchema,
} from '../../protocol/index.ts'
import type { RouteEnvironment } from './route-environment.ts'
import { logFailure } from './request-log.ts'
import { TURNED_AWAY_MS } from './refusals.ts'

const PROBLEM_TYPE = 'application/problem+json'
const RETRY_AFTER_S = '1'
const FIRST_SERVER_ERROR = 500
const TOO_MANY_REQUESTS = 429
const MS_PER_S = 1000

function problemResponse(
  context: Context<RouteEnvironment>,
  code: ProblemCode,
  detail: string,
  errors: readonly FieldError[] = [],
): Response {
  const { status } = problemKinds[code]
  if (status === 401) context.header('WWW-Authenticate', 'Bearer realm="gatehouse"')
  if (status === 503) context.header('Retry-After', RETRY_AFTER_S)
  if (status === TOO_MANY_REQUESTS) context.header('Retry-After', String(TURNED_AWAY_MS / MS_PER_S))
  return context.body(JSON.stringify({ ...problemDocument(code, detail, errors), requestId: context.var.requestId }), status, {
    'Content-Type': PROBLEM_TYPE,
  })
}

function refuseInvalid(error: z.core.$ZodError, where: string): never {
  const errors = fieldErrors(error)
  const first = errors[0]
  const place = first && first.path !== '' ? `${first.message} (${first.path})` : (first?.message ?? 'invalid')
  const more = errors.length > 1 ? ` and ${errors.length - 1} more` : ''
  throw new ProblemError('invalid-request', `${where}: ${place}${more}`, errors)
}

/** For OpenAPIHono: what to do with a request that its schemas refuse. */
function validationHook(result: { success: boolean; target?: string; error?: z.core.$ZodError }): void {
  if (!result.success && result.error) refuseInvalid(result.error, result.target ?? 'request')
}

const invalidBody = (detail: string) => new ProblemError('invalid-request', detail, [{ path: 'body', message: detail }])

/** Answers a refusal. One too many of a caller's is answered as such; where the count cannot be kept, it is answered all the same. */
async function refuse(context: Context<RouteEnvironment>, error: ProblemError): Promise<Response> {
  const { refusalKey, refusals, ports } = context.var
  const isCounted = problemKinds[error.code].status < FIRST_SERVER_ERROR && refusalKey
  const isTooMany = isCounted && (await refusals.count(refusalKey, ports.refusals))
  if (isTooMany) return problemResponse(context, 'too-many-refusals', `${error.message}; too many of your requests were refused`)
  return problemResponse(context, error.code, error.message, error.errors)
}

const onError: ErrorHandler<RouteEnvironment> = (error, context) => {
  if (error instanceof ProblemError) return refuse(context, error)
  if (error instanceof HTTPException && error.status === 400) return refuse(context, invalidBody(error.message))
  // Only a body that is not JSON throws this: what is stored was written by JSON.stringify.
  if (error instanceof SyntaxError) return refuse(context, invalidBody(`the body is not JSON: ${error.message}`))
  const { overloaded, retryable } = error as Error & { overloaded?: boolean; retryable?: boolean }
  if (overloaded || retryable) return problemResponse(context, 'overloaded', 'try again')
  const { requestId } = context.var
  logFailure(error, requestId)
  return problemResponse(
    context,
    'internal',
    `something went wrong that should not have; the coordinator has logged it as request ${requestId}`,
  )
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** 405 where another method is offered at this path, else 404. */
function createNotFound(isRoute: (method: string, path: string) => boolean): NotFoundHandler<RouteEnvironment> {
  return (context) => {
    const { method, path } = context.req
    const offered = METHODS.filter((other) => other !== method && isRoute(other, path))
    if (offered.length === 0) return problemResponse(context, 'not-found', `there is nothing at ${path}`)
    context.header('Allow', offered.join(', '))
    return problemResponse(context, 'method-not-allowed', `${path} offers ${offered.join(', ')}, not ${method}`)
  }
}

/** Responses of an OpenAPI route: its own, and the problems it may answer. */
function withProblems<R extends object>(responses: R, ...codes: readonly ProblemCode[]) {
  const content = { [PROBLEM_TYPE]: { schema: problemSchema } }
  const byStatus = new Map<number, string>()
  // Whatever is found may turn out to be unreadable.
  const stored: readonly ProblemCode[] = codes.includes('not-found') ? ['unreadable'] : []
  for (const code of ['unauthorized', 'invalid-request', ...codes, ...stored] as const) {
    const { status, title } = problemKinds[code]
    byStatus.set(status, [byStatus.get(status), title].filter(Boolean).join('; '))
  }
  const problems = Object.fromEntries([...byStatus].map(([status, description]) => [status, { description, content }]))
  return { ...problems, ...responses } as R
}

export { createNotFound, onError, validationHook, withProblems }
