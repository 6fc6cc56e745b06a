// Requests to the coordinator as an agent makes them: whatever may pass (network, 5xx, 429) is retried until it has, and
// refusals become CoordinatorError.

import type * as z from 'zod'
import { type Answer, transfer } from '../../command-line/transfer.ts'
import { type Problem, problemSchema } from '../../protocol/index.ts'
import { withRetries } from './retry.ts'

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
  /** Milliseconds without a byte moving after which a request is given up and tried again. Default 30 s. */
  readonly stallMs?: number
}

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** After the base. */
  readonly path: string
  /** An object is sent as JSON, bytes as they are. */
  readonly body?: object | Uint8Array<ArrayBuffer>
  readonly headers?: Readonly<Record<string, string>>
  /** Told of bytes of the bodies as they move, those of attempts that fail included. */
  readonly onSent?: (bytes: number) => void
  readonly onReceived?: (bytes: number) => void
}

type Requests = {
  /** Repeated until it is answered; `read` takes the answer in, and is part of what is repeated. */
  send<T>(call: Call, read: (answer: Answer) => T): Promise<T>
  sendJson<S extends z.ZodType>(call: Call, schema: S): Promise<z.infer<S>>
  /** Tried once. */
  sendOnce<S extends z.ZodType>(call: Call, schema: S): Promise<z.infer<S>>
  /** Tried once, also when `signal` is aborted: for an agent that stops. */
  sendLast<S extends z.ZodType>(call: Call, schema: S): Promise<z.infer<S>>
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${error.message}${cause}`
}

function textOf({ body }: Answer): string {
  return new TextDecoder().decode(body)
}

function refusalOf(answer: Answer): CoordinatorError {
  const text = textOf(answer)
  try {
    const problem = problemSchema.parse(JSON.parse(text))
    return new CoordinatorError(problem.code, answer.status, problem.detail)
  } catch {
    return new CoordinatorError(
      'bad-answer',
      answer.status,
      `the coordinator answered ${answer.status} without a problem document: ${text.slice(0, 200)}`,
    )
  }
}

/** Whether the same request may succeed later. */
function isPassing(error: unknown): boolean {
  return !(error instanceof CoordinatorError) || error.status >= FIRST_SERVER_ERROR || error.status === TOO_MANY_REQUESTS
}

/** Requests under `base`, a path that begins with a slash. Answers other than 2xx throw CoordinatorError. */
function createRequests({ coordinator, token, signal, onRetry, stallMs }: ClientOptions, base: string): Requests {
  const origin = coordinator.replace(/\/+$/, '')

  const exchange = async ({ method, path, body, headers: own, onSent, onReceived }: Call, until: AbortSignal): Promise<Answer> => {
    const headers = new Headers({ ...own, Authorization: `Bearer ${token}` })
    if (body !== undefined) headers.set('Content-Type', body instanceof Uint8Array ? 'application/octet-stream' : 'application/json')
    const answer = await transfer({
      url: `${origin}${base}${path}`,
      method,
      headers,
      body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
      signal: until,
      stallMs,
      onSent,
      onReceived,
    })
    if (!answer.ok) throw refusalOf(answer)
    return answer
  }
  const parse = <S extends z.ZodType>(answer: Answer, schema: S): z.infer<S> => schema.parse(JSON.parse(textOf(answer)))
  const send = <T>(call: Call, read: (answer: Answer) => T): Promise<T> =>
    withRetries(async () => read(await exchange(call, signal)), {
      signal,
      passing: isPassing,
      onRetry: (error, delayMs) => onRetry?.(describeError(error), delayMs),
    })

  return {
    send,
    sendJson: (call, schema) => send(call, (answer) => parse(answer, schema)),
    sendOnce: async (call, schema) => parse(await exchange(call, signal), schema),
    sendLast: async (call, schema) => parse(await exchange(call, AbortSignal.timeout(RELEASE_TIMEOUT_MS)), schema),
  }
}

export { type ClientOptions, CoordinatorError, createRequests, isPassing }
