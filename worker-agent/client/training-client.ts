// The agent's side of a training from scratch. Answers are parsed with the protocol's schemas.

import * as z from 'zod'
import {
  heartbeatResponseSchema,
  parseTrainingToken,
  releaseResponseSchema,
  type TrainingHeartbeat,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  trainingLeaseResponseSchema,
  type TrainingUpload,
  trainingUploadSchema,
} from '../../coordinator/protocol/index.ts'
import { type SpaceConfig, spaceConfigSchema } from '../../search-space/index.ts'
import { type ClientOptions, CoordinatorError, createRequests } from './requests.ts'

/** Of a training's status, what an agent needs before it asks for the lease. */
const statusSpaceSchema = z.object({ space: spaceConfigSchema })

type TrainingClient = {
  readonly trainingId: string
  readSpace(): Promise<SpaceConfig>
  lease(request: TrainingLeaseRequest): Promise<TrainingLeaseResponse>
  /** Not retried: the next one comes soon. */
  heartbeat(heartbeat: TrainingHeartbeat): Promise<'extended' | 'lost'>
  /** Tried once: an agent that stops must not wait, and a lease ends by itself. */
  release(leaseId: string): Promise<void>
  readCheckpoint(): Promise<Uint8Array<ArrayBuffer>>
  storeCheckpoint(leaseId: string, bytes: Uint8Array<ArrayBuffer>): Promise<TrainingUpload['kind']>
  finish(leaseId: string, bytes: Uint8Array<ArrayBuffer>): Promise<TrainingUpload['kind']>
}

/** Throws CoordinatorError `bad-token` where the token is none of a training. */
function createTrainingClient(options: ClientOptions): TrainingClient {
  const trainingId = parseTrainingToken(options.token)?.trainingId
  if (trainingId === undefined) {
    throw new CoordinatorError('bad-token', 0, 'expected an agent token such as gha.r….t….…: `gatehouse training create` prints it')
  }
  const { send, sendJson, sendOnce, sendLast } = createRequests(options, `/v1/trainings/${trainingId}`)
  const query = (leaseId: string) => new URLSearchParams({ leaseId })

  return {
    trainingId,
    readSpace: async () => (await sendJson({ method: 'GET', path: '' }, statusSpaceSchema)).space,
    lease: (body) => sendJson({ method: 'POST', path: '/lease', body }, trainingLeaseResponseSchema),
    async heartbeat(body) {
      const response = await sendOnce({ method: 'POST', path: '/heartbeat', body })
      return heartbeatResponseSchema.parse(await response.json()).kind
    },
    async release(leaseId) {
      const response = await sendLast({ method: 'POST', path: '/release', body: { leaseId } })
      releaseResponseSchema.parse(await response.json())
    },
    readCheckpoint: () => send({ method: 'GET', path: '/checkpoint' }, async (response) => new Uint8Array(await response.arrayBuffer())),
    storeCheckpoint: async (leaseId, body) =>
      (await sendJson({ method: 'PUT', path: `/checkpoint?${query(leaseId)}`, body }, trainingUploadSchema)).kind,
    finish: async (leaseId, body) =>
      (await sendJson({ method: 'POST', path: `/finish?${query(leaseId)}`, body }, trainingUploadSchema)).kind,
  }
}

export { createTrainingClient, type TrainingClient }
