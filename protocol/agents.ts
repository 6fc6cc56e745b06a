// What agents say to the coordinator and hear from it, apart from weights.

import * as z from 'zod'
import { spaceConfigSchema } from '../search-space/index.ts'
import { compatibilityFields } from './compatibility.ts'
import { agentIdSchema, leaseIdSchema, searchIdSchema, taskIdSchema } from './ids.ts'
import { MAX_FAILURE_MESSAGE, MAX_LANES } from './limits.ts'
import { pixelBitsSchema } from './pixel-bits.ts'
import { searchConfigSchema } from './search-config.ts'
import { taskResultSchema, taskSchema, timingSchema } from './tasks/index.ts'
import { listeningRetryField } from './waiting.ts'

const text = z.string().min(1).max(200)

const registerRequestSchema = z
  .strictObject({
    name: text.describe('for people, for example the host name'),
    device: text.describe('for example "NVIDIA RTX 4090" or a CPU model'),
    backend: text.describe('for example "wasm" or "webgpu"'),
    lanes: z.int().min(1).max(MAX_LANES).optional().describe('paths that it can train side by side, one in each thread; left out: 1'),
    ...compatibilityFields,
    agentId: agentIdSchema
      .optional()
      .describe(
        'made by the agent itself, at random, and kept: restarted, it is the same agent, and loses the leases that it had; left out: a new one',
      ),
    dataset: z.strictObject({
      name: text,
      fingerprint: z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits'),
      shape: z.tuple([z.int().min(1), z.int().min(1), z.int().min(1)]).describe('height, width and channels'),
      bits: pixelBitsSchema.optional(),
      classes: z.int().min(1),
      trainImages: z.int().min(1),
    }),
  })
  .meta({ id: 'RegisterRequest' })
type RegisterRequest = z.infer<typeof registerRequestSchema>

const registerResponseSchema = z
  .object({
    agentId: agentIdSchema,
    searchId: searchIdSchema,
    config: searchConfigSchema,
    space: spaceConfigSchema.describe('all settings of the space'),
    shards: z.int().min(1).describe('how many weight shards there are; docs/protocol.md says which key is on which'),
  })
  .meta({ id: 'RegisterResponse' })
type RegisterResponse = z.infer<typeof registerResponseSchema>

const leaseRequestSchema = z.strictObject({ agentId: agentIdSchema }).meta({ id: 'LeaseRequest' })

const leaseResponseSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('task'), task: taskSchema }),
    z.object({
      kind: z.literal('wait'),
      reason: z.enum(['paused', 'all-handed-out', 'round']).describe('round: the others have to finish theirs first'),
      retryAfterMs: z.int().min(0).describe('how long to wait the first time'),
      retryAtMostMs: z.int().min(0).optional().describe('how long, as waits get longer while nothing comes; absent: always the same'),
      listeningRetryMs: listeningRetryField,
    }),
    z.object({ kind: z.literal('finished'), phase: z.enum(['finished', 'stopped']) }),
  ])
  .meta({ id: 'LeaseResponse' })
type LeaseResponse = z.infer<typeof leaseResponseSchema>

const leaseRefSchema = z.strictObject({ agentId: agentIdSchema, taskId: taskIdSchema, leaseId: leaseIdSchema }).meta({ id: 'LeaseRef' })
type LeaseRef = z.infer<typeof leaseRefSchema>

const heartbeatResponseSchema = z
  .object({
    kind: z.enum(['extended', 'lost']).describe('lost: the lease has ended; the task may be with another agent'),
  })
  .meta({ id: 'HeartbeatResponse' })

const releaseRequestSchema = leaseRefSchema
  .extend({
    reason: z
      .enum(['stopping', 'failed', 'bad-numbers'])
      .default('stopping')
      .describe(
        'failed: the task could not be done; bad-numbers: training gave numbers that are not finite, which JSON cannot say; counted against the agent. Both count as an attempt at the task',
      ),
    message: z.string().max(MAX_FAILURE_MESSAGE).optional().describe('what went wrong, for people'),
  })
  .meta({ id: 'ReleaseRequest' })
type ReleaseRequest = z.infer<typeof releaseRequestSchema>

const releaseResponseSchema = z.object({ kind: z.enum(['released', 'lost']) }).meta({ id: 'ReleaseResponse' })

const submitRequestSchema = z
  .strictObject({ agentId: agentIdSchema, taskId: taskIdSchema, leaseId: leaseIdSchema, result: taskResultSchema, timing: timingSchema })
  .meta({ id: 'SubmitRequest' })
type SubmitRequest = z.infer<typeof submitRequestSchema>

const submitResponseSchema = z
  .object({
    kind: z
      .enum(['accepted', 'duplicate', 'stale'])
      .describe('duplicate: this task already has a result; stale: gate gradients too old, counted but not applied'),
  })
  .meta({ id: 'SubmitResponse' })
type SubmitResponse = z.infer<typeof submitResponseSchema>

/** Versions held, by weight key; 0 is the deterministic start. */
const versionsSchema = z.record(z.string().min(1).max(200), z.int().min(-1))

const pullRequestSchema = z
  .strictObject({ held: versionsSchema.describe('keys wanted, each with the version held, or -1 to get it whatever its version') })
  .meta({ id: 'PullRequest', description: 'The answer is safetensors with the keys whose version differs; versions are in its metadata.' })

const pushResponseSchema = z
  .object({
    kind: z.enum(['applied', 'duplicate']),
    versions: versionsSchema.describe('version of each pushed key, this push included'),
    scales: z.record(z.string(), z.number()).describe('factor that each difference was multiplied with, where it was not 1'),
    clipped: z.int().optional().describe('tensors whose difference was far larger than usual, and is among the scaled ones'),
  })
  .meta({ id: 'PushResponse' })
type PushResponse = z.infer<typeof pushResponseSchema>

/** Metadata of a pull's answer; JSON text, because safetensors metadata maps strings to strings. */
const pullMetadataSchema = z.object({ versions: z.string().describe('JSON: version of each key') })
/** Metadata of a push; which task and agent it is from is in the request's query. */
const pushMetadataSchema = z.object({
  baseVersions: z.string().describe('JSON: version of each key that its difference was made from'),
  members: z
    .string()
    .regex(/^[1-9][0-9]{0,5}$/, 'expected a whole number from 1')
    .optional()
    .describe("agents of the task's round; absent: the task was of an agent that was alone"),
})

export {
  heartbeatResponseSchema,
  type LeaseRef,
  leaseRefSchema,
  leaseRequestSchema,
  type LeaseResponse,
  leaseResponseSchema,
  pullMetadataSchema,
  pullRequestSchema,
  pushMetadataSchema,
  type PushResponse,
  pushResponseSchema,
  type RegisterRequest,
  registerRequestSchema,
  type RegisterResponse,
  registerResponseSchema,
  type ReleaseRequest,
  releaseRequestSchema,
  releaseResponseSchema,
  type SubmitRequest,
  submitRequestSchema,
  type SubmitResponse,
  submitResponseSchema,
  versionsSchema,
}
