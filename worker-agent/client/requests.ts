// Requests to the coordinator as an agent makes them: whatever may pass (network, 5xx, 429, an answer that arrived cut off) is
// retried until it has. Refusals become CoordinatorError, and so do whole answers of a form that this version does not know:
// the next one would be the same.

import type * as z from 'zod'
import { type Answer, transfer } from '../../command-line/transfer.ts'
import {
  AnswerError,
  createId,
  downloadParts,
  filePartOf,
  healthSchema,
  parseAnswer,
  printContentRange,
  type Problem,
  readProblem,
  type TrainingUploadEnd,
  trainingUploadSchema,
  uploadParts,
  VERSION,
} from '../../protocol/index.ts'
import { withRetries } from './retry.ts'

/** An agent that stops waits this long for its lease to be taken back. */
const RELEASE_TIMEOUT_MS = 5000
/** Of the answer to `GET /health`, all that an agent looks at. */
const versionSchema = healthSchema.pick({ version: true })
const ID_BYTES = 12
const TOO_MANY_REQUESTS = 429
const FIRST_SERVER_ERROR = 500

/** An agent that cannot go on asks this long for the coordinator's version, to name it. */
const HEALTH_TIMEOUT_MS = 5000

/**
 * The coordinator refused; trying again would not help. `bad-answer`: something else answered in its place. `unknown-answer`: it is of
 * a version whose answers this one does not know.
 */
class CoordinatorError extends Error {
  override readonly name = 'CoordinatorError'
  readonly code: Problem['code'] | 'bad-token' | 'bad-answer' | 'unknown-answer'
  readonly status: number
  /** What was answered, where the code is `unknown-answer`. */
  readonly answer: unknown

  constructor(code: CoordinatorError['code'], status: number, message: string, answer?: unknown) {
    super(message)
    this.code = code
    this.status = status
    this.answer = answer
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
  /** Version of the coordinator; repeated until it is answered. */
  coordinatorVersion(): Promise<string>
  /** Repeated until it is answered; `read` takes the answer in, and is part of what is repeated unless it throws AnswerError. */
  send<T>(call: Call, read: (answer: Answer) => T): Promise<T>
  sendJson<S extends z.ZodType>(call: Call, schema: S): Promise<z.output<S>>
  /** A file in parts where it is large; each is repeated until it is answered. `query` goes behind the path. */
  upload(
    method: 'PUT' | 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
    file: Uint8Array<ArrayBuffer>,
  ): Promise<TrainingUploadEnd['kind']>
  /** The same the other way. */
  download(path: string): Promise<Uint8Array<ArrayBuffer>>
  /** Tried once. */
  sendOnce<S extends z.ZodType>(call: Call, schema: S): Promise<z.output<S>>
  /** Tried once, also when `signal` is aborted: for an agent that stops. */
  sendLast<S extends z.ZodType>(call: Call, schema: S): Promise<z.output<S>>
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
  const problem = readProblem(parseJson(text))
  if (problem) return new CoordinatorError(problem.code, answer.status, problem.detail)
  return new CoordinatorError(
    'bad-answer',
    answer.status,
    `the coordinator answered ${answer.status} without a problem document: ${text.slice(0, 200)}`,
  )
}

/** Undefined for what is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
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
  const parse = <S extends z.ZodType>(answer: Answer, schema: S): z.output<S> => parseAnswer(schema, JSON.parse(textOf(answer)))

  const readVersion = async (until: AbortSignal): Promise<string> => {
    const answer = await transfer({ url: `${origin}/health`, method: 'GET', headers: new Headers(), signal: until, stallMs })
    if (!answer.ok) throw refusalOf(answer)
    const { version } = versionSchema.safeParse(JSON.parse(textOf(answer))).data ?? {}
    if (version === undefined) throw new CoordinatorError('bad-answer', answer.status, 'something that is no coordinator answered')
    return version
  }
  /** An answer of another version is final, and both versions are named. */
  const explain = async ({ method, path }: Call, status: number, error: unknown): Promise<unknown> => {
    if (!(error instanceof AnswerError)) return error
    const version = await readVersion(AbortSignal.timeout(HEALTH_TIMEOUT_MS)).catch(() => 'not known')
    const [called] = path.split('?')
    const message =
      `the coordinator (version ${version}) answered ${method} ${base}${called} in a form that this agent ` +
      `(version ${VERSION}) does not know: ${error.message}. Start an agent of the coordinator's version.`
    return new CoordinatorError('unknown-answer', status, message, error.answer)
  }
  const take = async <T>(call: Call, until: AbortSignal, read: (answer: Answer) => T): Promise<T> => {
    const answer = await exchange(call, until)
    try {
      return read(answer)
    } catch (error) {
      throw await explain(call, answer.status, error)
    }
  }
  const retrying = <T>(attempt: () => Promise<T>): Promise<T> =>
    withRetries(attempt, { signal, passing: isPassing, onRetry: (error, delayMs) => onRetry?.(describeError(error), delayMs) })
  const send = <T>(call: Call, read: (answer: Answer) => T): Promise<T> => retrying(() => take(call, signal, read))

  const sendJson = <S extends z.ZodType>(call: Call, schema: S) => send(call, (answer) => parse(answer, schema))

  return {
    coordinatorVersion: () => retrying(() => readVersion(signal)),
    send,
    sendJson,
    async upload(method, path, query, file) {
      const search = new URLSearchParams({ ...query, upload: createId('u', crypto.getRandomValues(new Uint8Array(ID_BYTES))) })
      const answer = await uploadParts<TrainingUploadEnd>(file, (body, part) =>
        sendJson({ method, path: `${path}?${search}`, body, headers: { 'Content-Range': printContentRange(part) } }, trainingUploadSchema),
      )
      return answer.kind
    },
    download: (path) =>
      downloadParts((begin) =>
        send({ method: 'GET', path, headers: { Range: `bytes=${begin}-` } }, ({ status, headers, body }) =>
          filePartOf(status, headers, body),
        ),
      ),
    sendOnce: (call, schema) => take(call, signal, (answer) => parse(answer, schema)),
    sendLast: (call, schema) => take(call, AbortSignal.timeout(RELEASE_TIMEOUT_MS), (answer) => parse(answer, schema)),
  }
}

export { type ClientOptions, CoordinatorError, createRequests, isPassing }
