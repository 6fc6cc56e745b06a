// The agent's side of a search. Answers are parsed with the protocol's schemas; fields that these do not know are left out.

import * as z from 'zod'
import {
  DEFAULT_PIXEL_BITS,
  type PixelBits,
  pixelBitsSchema,
  decodeSafetensors,
  differenceDtypes,
  encodeSafetensors,
  heartbeatResponseSchema,
  type LeaseRef,
  type LeaseResponse,
  leaseIdSchema,
  leaseResponseSchema,
  MAX_FAILURE_MESSAGE,
  parseAgentToken,
  parseAnswer,
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
  taskIdSchema,
  type Tensor,
  type TrainingUploadEnd,
  versionsSchema,
  type WeightEncoding,
} from '../../protocol/index.ts'
import { type SpaceConfig, spaceConfigSchema } from '../../search-space/index.ts'
import { createLimiter } from './limiter.ts'
import { type ClientOptions, CoordinatorError, createRequests } from './requests.ts'

/** Pulls and pushes at a time: enough to have one on the line while another is answered, and few in memory. */
const MAX_TRANSFERS = 2

/** Of a search's status, what an agent needs before it registers. */
const statusSpaceSchema = z.object({ space: spaceConfigSchema })
const statusBitsSchema = z.object({ config: z.object({ dataset: z.object({ bits: pixelBitsSchema.optional() }) }) })

/** Of an answer to a lease that this version does not know, what is needed to give the lease back. */
const leasedSchema = z.object({ task: z.object({ taskId: taskIdSchema, leaseId: leaseIdSchema }) })

/** Why a lease is given back. A long message is cut. */
type ReleaseReason = Pick<ReleaseRequest, 'reason' | 'message'>

type PulledTensor = { readonly values: Float32Array; readonly version: number }

type CoordinatorClient = {
  readonly searchId: string
  /** Of the weights pulled and pushed so far, as they travelled: attempts that failed included, other calls not. */
  readonly bytes: { readonly sent: number; readonly received: number }
  /** Version of the coordinator's software. */
  coordinatorVersion(): Promise<string>
  /** All settings of the search's space, before the agent is one of its agents. */
  readSpace(): Promise<SpaceConfig>
  /** Of the values of its images. */
  readBits(): Promise<PixelBits>
  register(request: RegisterRequest): Promise<RegisterResponse>
  /** A lease of a task that this version does not know is given back before CoordinatorError `unknown-answer` is thrown. */
  lease(agentId: string): Promise<LeaseResponse>
  /** Not retried: the next one comes soon. */
  heartbeat(ref: LeaseRef): Promise<'extended' | 'lost'>
  /** Tried once: an agent that stops must not wait, and a lease ends by itself. */
  release(ref: LeaseRef, why?: ReleaseReason): Promise<void>
  submit(request: SubmitRequest): Promise<SubmitResponse>
  /** Of the trial that a task trains. */
  readCheckpoint(taskId: number): Promise<Uint8Array<ArrayBuffer>>
  storeCheckpoint(ref: LeaseRef, bytes: Uint8Array<ArrayBuffer>): Promise<TrainingUploadEnd['kind']>
  pull(shard: number, held: Readonly<Record<string, number>>): Promise<ReadonlyMap<string, PulledTensor>>
  push(
    shard: number,
    task: { agentId: string; taskId: number; members: number; pushRight?: string | undefined },
    differences: ReadonlyMap<string, Tensor>,
    baseVersions: Readonly<Record<string, number>>,
    encoding: WeightEncoding,
  ): Promise<PushResponse>
}

/** Throws CoordinatorError `bad-token` where the token is no agent token of a search. */
function createCoordinatorClient(options: ClientOptions): CoordinatorClient {
  const searchId = parseAgentToken(options.token)?.searchId
  if (searchId === undefined) {
    throw new CoordinatorError(
      'bad-token',
      0,
      'expected an agent token such as gha.s….t….…: `gatehouse search create` and `gatehouse search token create` print them',
    )
  }
  const { coordinatorVersion, send, sendJson, sendOnce, sendLast, upload, download } = createRequests(options, `/v1/searches/${searchId}`)
  const limited = createLimiter(MAX_TRANSFERS)
  const bytes = { sent: 0, received: 0 }
  const onSent = (count: number) => void (bytes.sent += count)
  const onReceived = (count: number) => void (bytes.received += count)
  const post = <S extends z.ZodType>(path: string, body: object, schema: S) => sendJson({ method: 'POST', path, body }, schema)

  const release = async (ref: LeaseRef, { reason, message }: ReleaseReason = { reason: 'stopping' }) => {
    const body = { ...ref, reason, message: message?.slice(0, MAX_FAILURE_MESSAGE) } satisfies ReleaseRequest
    await sendLast({ method: 'POST', path: '/release', body }, releaseResponseSchema)
  }

  return {
    searchId,
    bytes,
    coordinatorVersion,
    readSpace: async () => (await sendJson({ method: 'GET', path: '' }, statusSpaceSchema)).space,
    readBits: async () => (await sendJson({ method: 'GET', path: '' }, statusBitsSchema)).config.dataset.bits ?? DEFAULT_PIXEL_BITS,
    register: (body) => post('/agents', body, registerResponseSchema),
    async lease(agentId) {
      try {
        return await post('/lease', { agentId }, leaseResponseSchema)
      } catch (error) {
        const leased = leasedSchema.safeParse(error instanceof CoordinatorError ? error.answer : undefined)
        // A lease that cannot be given back ends by itself.
        if (leased.success) await release({ agentId, ...leased.data.task }).catch(() => undefined)
        throw error
      }
    },
    heartbeat: async (body) => (await sendOnce({ method: 'POST', path: '/heartbeat', body }, heartbeatResponseSchema)).kind,
    release,
    submit: (body) => post('/results', body, submitResponseSchema),
    readCheckpoint: (taskId) => download(`/tasks/${taskId}/checkpoint`),
    storeCheckpoint: ({ agentId, taskId, leaseId }, file) => upload('PUT', `/tasks/${taskId}/checkpoint`, { agentId, leaseId }, file),
    pull: (shard, held) =>
      limited(() =>
        send({ method: 'POST', path: `/weights/${shard}/pull`, body: { held }, onReceived }, ({ body }) => {
          const file = decodeSafetensors(body)
          const versions = parseAnswer(versionsSchema, JSON.parse(parseAnswer(pullMetadataSchema, file.metadata).versions))
          return new Map([...file.tensors].map(([key, { values }]) => [key, { values, version: versions[key] ?? 0 }]))
        }),
      ),
    push: (shard, { agentId, taskId, members, pushRight }, tensors, baseVersions, encoding) =>
      limited(() => {
        const metadata = { baseVersions: JSON.stringify(baseVersions), ...(members > 1 && { members: String(members) }) }
        const body = encodeSafetensors({ metadata, tensors }, differenceDtypes[encoding])
        const query = new URLSearchParams({ agentId, taskId: String(taskId) })
        const headers: Record<string, string> = pushRight === undefined ? {} : { 'Push-Right': pushRight }
        return sendJson({ method: 'POST', path: `/weights/${shard}/push?${query}`, body, headers, onSent }, pushResponseSchema)
      }),
  }
}

export { type CoordinatorClient, createCoordinatorClient, type PulledTensor, type ReleaseReason }
