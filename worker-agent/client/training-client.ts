// The agent's side of a training from scratch. Answers are parsed with the protocol's schemas.

import * as z from 'zod'
import {
  createId,
  downloadParts,
  filePartOf,
  heartbeatResponseSchema,
  parseTrainingToken,
  printContentRange,
  releaseResponseSchema,
  type TrainingHeartbeat,
  type TrainingInput,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  trainingLeaseResponseSchema,
  type TrainingUploadEnd,
  trainingUploadSchema,
  uploadParts,
} from '../../protocol/index.ts'
import { type SpaceConfig, spaceConfigSchema } from '../../search-space/index.ts'
import { type ClientOptions, CoordinatorError, createRequests } from './requests.ts'

const ID_BYTES = 12

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
  const { send, sendJson, sendOnce, sendLast } = createRequests(options, `/v1/trainings/${trainingId}`)

  /** In parts where it is large; each is repeated until it is answered. */
  const upload = async (method: 'PUT' | 'POST', path: string, leaseId: string, file: Uint8Array<ArrayBuffer>) => {
    const query = new URLSearchParams({ leaseId, upload: createId('u', crypto.getRandomValues(new Uint8Array(ID_BYTES))) })
    const answer = await uploadParts<TrainingUploadEnd>(file, (body, part) =>
      sendJson({ method, path: `${path}?${query}`, body, headers: { 'Content-Range': printContentRange(part) } }, trainingUploadSchema),
    )
    return answer.kind
  }

  const download = (path: string) =>
    downloadParts((begin) =>
      send({ method: 'GET', path, headers: { Range: `bytes=${begin}-` } }, ({ status, headers, body }) =>
        filePartOf(status, headers, body),
      ),
    )

  return {
    trainingId,
    readSpace: async () => (await sendJson({ method: 'GET', path: '' }, statusSpaceSchema)).space,
    lease: (body) => sendJson({ method: 'POST', path: '/lease', body }, trainingLeaseResponseSchema),
    heartbeat: async (body) => (await sendOnce({ method: 'POST', path: '/heartbeat', body }, heartbeatResponseSchema)).kind,
    async release(leaseId) {
      await sendLast({ method: 'POST', path: '/release', body: { leaseId } }, releaseResponseSchema)
    },
    readCheckpoint: () => download('/checkpoint'),
    readInput: (input) => download(`/inputs/${input}`),
    storeCheckpoint: (leaseId, file) => upload('PUT', '/checkpoint', leaseId, file),
    finish: (leaseId, file) => upload('POST', '/finish', leaseId, file),
  }
}

export { createTrainingClient, type TrainingClient }
