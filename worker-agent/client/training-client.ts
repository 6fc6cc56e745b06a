// The agent's side of a training from scratch. Answers are parsed with the protocol's schemas; fields that these do not know are
// left out.

import * as z from 'zod'
import {
  DEFAULT_PIXEL_BITS,
  type PixelBits,
  pixelBitsSchema,
  heartbeatResponseSchema,
  leaseIdSchema,
  parseTrainingToken,
  releaseResponseSchema,
  type TrainingHeartbeat,
  type TrainingInput,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  trainingLeaseResponseSchema,
  type TrainingUploadEnd,
} from '../../protocol/index.ts'
import { type SpaceConfig, spaceConfigSchema } from '../../search-space/index.ts'
import { type ClientOptions, CoordinatorError, createRequests } from './requests.ts'

/** Of a training's status, what an agent needs before it asks for the lease. */
const statusSpaceSchema = z.object({ space: spaceConfigSchema })
const statusBitsSchema = z.object({ spec: z.object({ dataset: z.object({ bits: pixelBitsSchema.optional() }) }) })

/** Of an answer to a lease that this version does not know, what is needed to give the lease back. */
const leasedSchema = z.object({ leaseId: leaseIdSchema })

type TrainingClient = {
  readonly trainingId: string
  /** Version of the coordinator's software. */
  coordinatorVersion(): Promise<string>
  readSpace(): Promise<SpaceConfig>
  /** Of the values of its images. */
  readBits(): Promise<PixelBits>
  /** A lease of a training that this version does not know is given back before CoordinatorError `unknown-answer` is thrown. */
  lease(request: TrainingLeaseRequest): Promise<TrainingLeaseResponse>
  /** Not retried: the next one comes soon. */
  heartbeat(heartbeat: TrainingHeartbeat): Promise<'extended' | 'lost'>
  /** Tried once: an agent that stops must not wait, and a lease ends by itself. `failure`: why it could not be trained, if so. */
  release(leaseId: string, failure?: string): Promise<void>
  readCheckpoint(): Promise<Uint8Array<ArrayBuffer>>
  readInput(input: TrainingInput): Promise<Uint8Array<ArrayBuffer>>
  storeCheckpoint(leaseId: string, bytes: Uint8Array<ArrayBuffer>): Promise<TrainingUploadEnd['kind']>
  finish(leaseId: string, bytes: Uint8Array<ArrayBuffer>): Promise<TrainingUploadEnd['kind']>
}

/** Throws CoordinatorError `bad-token` where the token is none of a training. */
function createTrainingClient(options: ClientOptions): TrainingClient {
  const trainingId = parseTrainingToken(options.token)?.trainingId
  if (trainingId === undefined) {
    throw new CoordinatorError('bad-token', 0, 'expected an agent token such as gha.r….t….…: `gatehouse training create` prints it')
  }
  const { coordinatorVersion, sendJson, sendOnce, sendLast, upload, download } = createRequests(options, `/v1/trainings/${trainingId}`)

  const release = async (leaseId: string, failure?: string) => {
    const why = failure === undefined ? {} : { reason: 'failed', message: failure }
    await sendLast({ method: 'POST', path: '/release', body: { leaseId, ...why } }, releaseResponseSchema)
  }

  return {
    trainingId,
    coordinatorVersion,
    readSpace: async () => (await sendJson({ method: 'GET', path: '' }, statusSpaceSchema)).space,
    readBits: async () => (await sendJson({ method: 'GET', path: '' }, statusBitsSchema)).spec.dataset.bits ?? DEFAULT_PIXEL_BITS,
    async lease(body) {
      try {
        return await sendJson({ method: 'POST', path: '/lease', body }, trainingLeaseResponseSchema)
      } catch (error) {
        const leased = leasedSchema.safeParse(error instanceof CoordinatorError ? error.answer : undefined)
        // A lease that cannot be given back ends by itself.
        if (leased.success) await release(leased.data.leaseId).catch(() => undefined)
        throw error
      }
    },
    heartbeat: async (body) => (await sendOnce({ method: 'POST', path: '/heartbeat', body }, heartbeatResponseSchema)).kind,
    release,
    readCheckpoint: () => download('/checkpoint'),
    readInput: (input) => download(`/inputs/${input}`),
    storeCheckpoint: (leaseId, file) => upload('PUT', '/checkpoint', { leaseId }, file),
    finish: (leaseId, file) => upload('POST', '/finish', { leaseId }, file),
  }
}

export { createTrainingClient, type TrainingClient }
