// Requests to the coordinator as an agent makes them: whatever may pass (network, 5xx, 429) is retried until it has, and
// refusals become CoordinatorError.

import type * as z from 'zod'
import { type Problem, problemSchema } from '../../coordinator/protocol/index.ts'
import { withRetries } from './retry.ts'

/** A request without an answer for this long is given up and tried again. */
const REQUEST_TIMEOUT_MS = 60_000
/** An agent that stops waits this long for its lease to be taken back. */
const RELEASE_TIMEOUT_MS = 5000
const TOO_MANY_REQUESTS = 429
const FIRST_SERVER_ERROR = 500

/** The coordinator refused; trying again would not help. */
class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError'
  readonly code: Problem['code'] | 'bad-token' | 'bad-answer'
  readonly status: number

  constructor(code: CoordinatorError['code'], status: number, message: string) {
    super(message)
    this.code = code
    this.status = status
  }
}

type ClientOptions = {
  readonly coordinator: string
  readonly token: string
  readonly signal: AbortSignal
  readonly onRetry?: (message: string, delayMs: number) => void
}

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** After the base. */
  readonly path: string
  /** An object is sent as JSON, bytes as they are. */
  readonly body?: object | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
}

type Requests = {
  /** Repeated until it is answered; `read` takes the body in, and is part of what is repeated. */
  send<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T>
  sendJson<S extends z.ZodType>(call: Call, schema: S): Promise<z.infer<S>>
  /** Tried once. */
  sendOnce(call: Call): Promise<Response>
  /** Tried once, also when `signal` is aborted: for an agent that stops. */
  sendLast(call: Call): Promise<Response>
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${error.message}${cause}`
}

async function refusalOf(response: Response): Promise<CoordinatorError> {
  const text = await response.text()
  try {
    const problem = problemSchema.parse(JSON.parse(text))
    return new CoordinatorError(problem.code, response.status, problem.detail)
  } catch {
    return new CoordinatorError(
      'bad-answer',
      response.status,
      `the coordinator answered ${response.status} without a problem document: ${text.slice(0, 200)}`,
    )
  }
}

/** Whether the same request may succeed later. */
function isPassing(error: unknown): boolean {
  return !(error instanceof CoordinatorError) || error.status >= FIRST_SERVER_ERROR || error.status === TOO_MANY_REQUESTS
}

/** Requests under `base`, a path that begins with a slash. Answers other than 2xx throw CoordinatorError. */
function createRequests({ coordinator, token, signal, onRetry }: ClientOptions, base: string): Requests {
  const origin = coordinator.replace(/\/+$/, '')

  const exchange = async ({ method, path, body, headers: own }: Call, until: AbortSignal): Promise<Response> => {
    const headers = new Headers({ ...own, Authorization: `Bearer ${token}` })
    if (body !== undefined) headers.set('Content-Type', body instanceof Uint8Array ? 'application/octet-stream' : 'application/json')
    const response = await fetch(`${origin}${base}${path}`, {
      method,
      headers,
      body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
      signal: until,
    })
    if (!response.ok) throw await refusalOf(response)
    return response
  }
  const sendOnce = (call: Call) => exchange(call, AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]))
  const send = <T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> =>
    withRetries(async () => read(await sendOnce(call)), {
      signal,
      passing: isPassing,
      onRetry: (error, delayMs) => onRetry?.(describeError(error), delayMs),
    })

  return {
    send,
    sendJson: (call, schema) => send(call, async (response) => schema.parse(await response.json())),
    sendOnce,
    sendLast: (call) => exchange(call, AbortSignal.timeout(RELEASE_TIMEOUT_MS)),
  }
}

export { type ClientOptions, CoordinatorError, createRequests, isPassing }
