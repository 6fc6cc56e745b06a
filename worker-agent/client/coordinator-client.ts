// The agent's side of the protocol. Answers are parsed with the protocol's schemas; refusals become CoordinatorError;
// whatever may pass (network, 5xx, 429) is retried until it has.

import * as z from 'zod'
import {
  decodeSafetensors,
  type Dtype,
  encodeSafetensors,
  heartbeatResponseSchema,
  type LeaseRef,
  type LeaseResponse,
  leaseResponseSchema,
  parseAgentToken,
  type Problem,
  problemSchema,
  pullMetadataSchema,
  type PushResponse,
  pushResponseSchema,
  type RegisterRequest,
  type RegisterResponse,
  registerResponseSchema,
  type ReleaseRequest,
  releaseResponseSchema,
  type SubmitRequest,
  type SubmitResponse,
  submitResponseSchema,
  type Tensor,
  versionsSchema,
} from '../../coordinator/protocol/index.ts'
import { type SpaceConfig, spaceConfigSchema } from '../../search-space/index.ts'
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

/** Of a search's status, what an agent needs before it registers. */
const statusSpaceSchema = z.object({ space: spaceConfigSchema })

type PulledTensor = { readonly values: Float32Array; readonly version: number }

type CoordinatorClient = {
  readonly searchId: string
  /** All settings of the search's space, before the agent is one of its agents. */
  readSpace(): Promise<SpaceConfig>
  register(request: RegisterRequest): Promise<RegisterResponse>
  lease(agentId: string): Promise<LeaseResponse>
  /** Not retried: the next one comes soon. */
  heartbeat(ref: LeaseRef): Promise<'extended' | 'lost'>
  /** Tried once: an agent that stops must not wait, and a lease ends by itself. */
  release(ref: LeaseRef, reason?: ReleaseRequest['reason']): Promise<void>
  submit(request: SubmitRequest): Promise<SubmitResponse>
  pull(shard: number, held: Readonly<Record<string, number>>): Promise<ReadonlyMap<string, PulledTensor>>
  push(
    shard: number,
    task: { agentId: string; taskId: number },
    differences: ReadonlyMap<string, Tensor>,
    baseVersions: Readonly<Record<string, number>>,
    dtype: Dtype,
  ): Promise<PushResponse>
}

type ClientOptions = {
  readonly coordinator: string
  readonly token: string
  readonly signal: AbortSignal
  readonly onRetry?: (message: string, delayMs: number) => void
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

/** Throws CoordinatorError `bad-token` where the token is no agent token. */
function createCoordinatorClient({ coordinator, token, signal, onRetry }: ClientOptions): CoordinatorClient {
  const searchId = parseAgentToken(token)?.searchId
  if (searchId === undefined) {
    throw new CoordinatorError(
      'bad-token',
      0,
      'expected an agent token such as gha.s….t….…: `gatehouse search create` and `gatehouse search token create` print them',
    )
  }
  const base = `${coordinator.replace(/\/+$/, '')}/v1/searches/${searchId}`
  const passing = (error: unknown) =>
    !(error instanceof CoordinatorError) || error.status >= FIRST_SERVER_ERROR || error.status === TOO_MANY_REQUESTS

  const requestOnce = async (path: string, body: string | Uint8Array<ArrayBuffer>): Promise<Response> => {
    const response = await fetch(`${base}${path}`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${token}`,
        'Content-Type': typeof body === 'string' ? 'application/json' : 'application/octet-stream',
      },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    })
    if (!response.ok) throw await refusalOf(response)
    return response
  }
  const request = <T>(path: string, body: string | Uint8Array<ArrayBuffer>, read: (response: Response) => Promise<T>): Promise<T> =>
    withRetries(async () => read(await requestOnce(path, body)), {
      signal,
      passing,
      onRetry: (error, delayMs) => onRetry?.(describeError(error), delayMs),
    })
  const requestJson = <S extends z.ZodType>(path: string, body: object, schema: S): Promise<z.infer<S>> =>
    request(path, JSON.stringify(body), async (response) => schema.parse(await response.json()))

  return {
    searchId,
    readSpace: () =>
      withRetries(
        async () => {
          const response = await fetch(base, {
            headers: { Authorization: `Bearer ${token}` },
            signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
          })
          if (!response.ok) throw await refusalOf(response)
          return statusSpaceSchema.parse(await response.json()).space
        },
        { signal, passing, onRetry: (error, delayMs) => onRetry?.(describeError(error), delayMs) },
      ),
    register: (body) => requestJson('/agents', body, registerResponseSchema),
    lease: (agentId) => requestJson('/lease', { agentId }, leaseResponseSchema),
    async heartbeat(ref) {
      const response = await requestOnce('/heartbeat', JSON.stringify(ref))
      return heartbeatResponseSchema.parse(await response.json()).kind
    },
    async release(ref, reason = 'stopping') {
      const response = await fetch(`${base}/release`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ ...ref, reason } satisfies ReleaseRequest),
        signal: AbortSignal.timeout(RELEASE_TIMEOUT_MS),
      })
      if (response.ok) releaseResponseSchema.parse(await response.json())
    },
    submit: (body) => requestJson('/results', body, submitResponseSchema),
    pull: (shard, held) =>
      request(`/weights/${shard}/pull`, JSON.stringify({ held }), async (response) => {
        const file = decodeSafetensors(new Uint8Array(await response.arrayBuffer()))
        const versions = versionsSchema.parse(JSON.parse(pullMetadataSchema.parse(file.metadata).versions))
        return new Map([...file.tensors].map(([key, { values }]) => [key, { values, version: versions[key] ?? 0 }]))
      }),
    push: (shard, { agentId, taskId }, tensors, baseVersions, dtype) => {
      const body = encodeSafetensors({ metadata: { baseVersions: JSON.stringify(baseVersions) }, tensors }, dtype)
      const query = new URLSearchParams({ agentId, taskId: String(taskId) })
      return request(`/weights/${shard}/push?${query}`, body, async (response) => pushResponseSchema.parse(await response.json()))
    },
  }
}

export { type CoordinatorClient, CoordinatorError, createCoordinatorClient, type PulledTensor }
