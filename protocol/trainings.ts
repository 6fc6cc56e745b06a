// Trainings from scratch that agents do for a coordinator: what a person asks for, what passes between coordinator and
// agents, and what can be read of a training.

import * as z from 'zod'
import { spaceConfigSchema, spaceRefSchema } from '../search-space/index.ts'
import { registerRequestSchema } from './agents.ts'
import { epochReportSchema, scoreSchema } from './checkpoint-state.ts'
import { agentIdSchema, leaseIdSchema, tokenIdSchema, trainingIdSchema, uploadIdSchema } from './ids.ts'
import { DEFAULT_CHECKPOINT_MS, MAX_CHECKPOINT_MS, MAX_FAILURE_MESSAGE, MAX_LEASE_MS, MIN_LEASE_MS } from './limits.ts'
import { pixelBitsSchema } from './pixel-bits.ts'
import { recipeSchema } from './recipe.ts'
import { listeningRetryField } from './waiting.ts'

const DEFAULT_LEASE_MS = 60_000
/** A space of a few hundred blocks has shorter encodings. */
const MAX_ENCODING = 20_000

const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
const seed = z.int().min(0).max(0xffffffff)
const atMs = z.int().min(0)
const count = z.int().min(0)

/** As many as an input has channels. */
const channels = z.array(z.number()).min(1).max(64)
const normalisationSchema = z.strictObject({ mean: channels, std: channels }).describe('per channel, of pixels scaled to 0..1')

/** Files that a training can be given before it begins. */
const trainingInputSchema = z.enum(['initial', 'teacher'])
type TrainingInput = z.infer<typeof trainingInputSchema>

const trainingSpecSchema = z
  .strictObject({
    name: z.string().min(1).max(100).describe('for people'),
    space: spaceRefSchema.describe('a preset, or all settings of a space'),
    architecture: z.string().min(1).max(MAX_ENCODING).describe('for example fashion-mini:mb3k5,zero,mb6k3'),
    dataset: z.strictObject({
      name: z.string().min(1).max(200),
      fingerprint: fingerprint.optional().describe("agents with other data are refused. Default: the first agent's"),
      bits: pixelBitsSchema.optional(),
    }),
    recipe: recipeSchema.prefault({}),
    seed: seed.default(0).describe('of weights, order and augmentation'),
    shareSeed: seed.optional().describe('of the validation share: that of a search, to validate on its images. Default: seed'),
    test: z.boolean().default(true).describe('evaluate on the test split, once, at the end'),
    initial: z
      .strictObject({ fingerprint })
      .optional()
      .describe('weights to start from, which are delivered before an agent may begin. Default: random ones'),
    teacher: z
      .strictObject({
        fingerprint,
        space: spaceRefSchema,
        architecture: z.string().min(1).max(MAX_ENCODING),
        normalisation: normalisationSchema,
      })
      .optional()
      .describe('a trained network to learn from as well, whose weights are delivered before an agent may begin'),
    leaseMs: z
      .int()
      .min(MIN_LEASE_MS)
      .max(MAX_LEASE_MS)
      .default(DEFAULT_LEASE_MS)
      .describe('an agent silent for so long has lost its lease'),
    checkpointMs: z
      .int()
      .min(0)
      .max(MAX_CHECKPOINT_MS)
      .default(DEFAULT_CHECKPOINT_MS)
      .describe('most time between two checkpoints, which every epoch ends with as well'),
  })
  .meta({ id: 'TrainingSpec' })
type TrainingSpec = z.infer<typeof trainingSpecSchema>
type TrainingSpecInput = z.input<typeof trainingSpecSchema>

const createTrainingResponseSchema = z
  .object({
    trainingId: trainingIdSchema,
    agentToken: z.string().describe('good for this training only; shown this once'),
    tokenId: tokenIdSchema,
    parameters: z.int().describe('of the network'),
    checkpointBytes: z.int().describe('about how large a checkpoint is'),
  })
  .meta({ id: 'CreateTrainingResponse' })

const trainingEndSchema = z
  .enum(['finished', 'stopped', 'diverged'])
  .describe("stopped: by the recipe's stopBelow, or by a person; diverged: the loss of several agents was no number any more")
type TrainingEnd = z.infer<typeof trainingEndSchema>
const trainingPhaseSchema = z
  .enum(['waiting', 'training', 'paused', ...trainingEndSchema.options])
  .describe('waiting: no agent has the lease; the others are ends')
type TrainingPhase = z.infer<typeof trainingPhaseSchema>

const trainingLeaseRequestSchema = registerRequestSchema
  .extend({ agentId: agentIdSchema.describe('made by the agent itself, at random: asking again with it gives the lease that it has') })
  .meta({ id: 'TrainingLeaseRequest' })
type TrainingLeaseRequest = z.infer<typeof trainingLeaseRequestSchema>

const trainingLeaseResponseSchema = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('lease'),
      leaseId: leaseIdSchema,
      spec: trainingSpecSchema,
      space: spaceConfigSchema.describe('all settings of the space'),
      checkpointStep: count.nullable().describe('mini-batches done in the checkpoint to go on from; null: begin'),
    }),
    z.object({
      kind: z.literal('wait'),
      retryAfterMs: count,
      listeningRetryMs: listeningRetryField,
      reason: z
        .enum(['taken', 'paused', 'inputs', 'fault'])
        .optional()
        .describe(
          'taken: another agent has the lease; inputs: files are missing; fault: it failed for this agent, and others are asked first',
        ),
    }),
    z.object({ kind: z.literal('ended'), end: trainingEndSchema }),
  ])
  .meta({ id: 'TrainingLeaseResponse' })
type TrainingLeaseResponse = z.infer<typeof trainingLeaseResponseSchema>

const trainingLeaseRefSchema = z.strictObject({ leaseId: leaseIdSchema })

const trainingReleaseSchema = trainingLeaseRefSchema
  .extend({
    reason: z.enum(['stopping', 'failed']).default('stopping').describe('failed: the agent could not train it; others are asked first'),
    message: z.string().max(MAX_FAILURE_MESSAGE).optional().describe('what went wrong, for people'),
  })
  .meta({ id: 'TrainingRelease' })
type TrainingRelease = z.infer<typeof trainingReleaseSchema>

const trainingProgressSchema = z.strictObject({
  step: count.describe('mini-batches done'),
  steps: z.int().min(1).describe('of how many'),
  stepsPerEpoch: z.int().min(1),
  loss: z.number().describe('of the last mini-batch'),
  imagesPerSecond: z.number().min(0).nullable(),
})
type TrainingProgress = z.infer<typeof trainingProgressSchema>

const trainingHeartbeatSchema = trainingLeaseRefSchema
  .extend({ progress: trainingProgressSchema.optional() })
  .meta({ id: 'TrainingHeartbeat' })
type TrainingHeartbeat = z.infer<typeof trainingHeartbeatSchema>

const trainingUploadQuerySchema = trainingLeaseRefSchema.extend({ upload: uploadIdSchema.optional() })

const trainingUploadEndSchema = z.object({
  kind: z
    .enum(['stored', 'duplicate', 'lost'])
    .describe('duplicate: it is there already; lost: the lease has ended, and nothing was changed'),
})
type TrainingUploadEnd = z.infer<typeof trainingUploadEndSchema>

const trainingUploadSchema = z
  .discriminatedUnion('kind', [
    trainingUploadEndSchema,
    z
      .object({ kind: z.literal('partial'), receivedBytes: count.describe('of the upload so far: where the next part has to begin') })
      .describe('more parts are to come'),
  ])
  .meta({ id: 'TrainingUpload' })
type TrainingUpload = z.infer<typeof trainingUploadSchema>

/** What an agent says at the end, in the metadata of the model. */
const trainingResultSchema = z
  .discriminatedUnion('end', [
    z.strictObject({
      end: z.enum(['finished', 'stopped']),
      steps: z.int().min(1).describe('mini-batches done'),
      validation: scoreSchema,
      test: scoreSchema.nullable(),
      normalisation: normalisationSchema,
      classNames: z.array(z.string().max(200)).max(100_000).optional(),
    }),
    z.strictObject({ end: z.literal('diverged'), message: z.string().min(1).max(1000) }),
  ])
  .meta({ id: 'TrainingResult' })
type TrainingResult = z.infer<typeof trainingResultSchema>

const trainingSummarySchema = z
  .object({
    trainingId: trainingIdSchema,
    name: z.string(),
    phase: trainingPhaseSchema,
    architecture: z.string(),
    createdAtMs: atMs,
    epoch: z.number().describe('passes over the training images so far, as last reported'),
    accuracy: z.number().nullable().describe('validation, top-1, of the last evaluation'),
  })
  .meta({ id: 'TrainingSummary' })
type TrainingSummary = z.infer<typeof trainingSummarySchema>

const trainerSchema = z.object({
  name: z.string(),
  device: z.string(),
  backend: z.string(),
  leaseId: leaseIdSchema.optional().describe('shown to the administrator alone: who knows it has the lease'),
  agentId: agentIdSchema.optional().describe('shown to the administrator alone'),
  sinceMs: atMs,
  lastSeenAtMs: atMs,
  fromStep: count.describe('of the checkpoint that it began with'),
  savedStep: count.describe('of the last checkpoint that it delivered'),
  end: z
    .enum(['released', 'expired', 'finished', 'failed', 'diverged', 'paused', 'stopped'])
    .nullable()
    .describe('how its lease ended; null: it has not'),
})

const trainingFaultSchema = z.object({
  name: z.string().describe('of the agent'),
  kind: z.enum(['failed', 'diverged']),
  message: z.string(),
  step: count.describe('of the checkpoint that it went on from'),
  atMs,
})
type TrainingFault = z.infer<typeof trainingFaultSchema>

const trainingStatusSchema = trainingSummarySchema
  .extend({
    startedAtMs: atMs.nullable(),
    finishedAtMs: atMs.nullable(),
    progress: trainingProgressSchema.nullable().describe('as the last heartbeat said'),
    loss: z.number().nullable().describe('mean over the mini-batches since the last report, of the last checkpoint'),
    missingInputs: z.array(trainingInputSchema).describe('files that have to be delivered before an agent may begin'),
    checkpoint: z.object({ step: count, bytes: count, atMs }).nullable(),
    reports: z.array(epochReportSchema).describe('up to the last checkpoint'),
    trainers: z.array(trainerSchema).describe('leases, the last ones only, oldest first'),
    faults: z.array(trainingFaultSchema).describe('of agents that could not go on from the last checkpoint, oldest first'),
    leases: count.describe('given so far'),
    expiredLeases: count,
    duplicates: count.describe('checkpoints that were there already'),
    datasetFingerprint: fingerprint.nullable(),
    result: trainingResultSchema.nullable(),
    modelBytes: count.nullable().describe('of the trained network; null where there is none'),
    spec: trainingSpecSchema,
    space: spaceConfigSchema,
  })
  .meta({ id: 'TrainingStatus' })
type TrainingStatus = z.infer<typeof trainingStatusSchema>

export {
  createTrainingResponseSchema,
  type TrainingEnd,
  type TrainingFault,
  type TrainingHeartbeat,
  trainingHeartbeatSchema,
  type TrainingInput,
  trainingInputSchema,
  type TrainingLeaseRequest,
  trainingLeaseRequestSchema,
  type TrainingLeaseResponse,
  trainingLeaseResponseSchema,
  type TrainingPhase,
  trainingPhaseSchema,
  type TrainingProgress,
  trainingProgressSchema,
  type TrainingRelease,
  trainingReleaseSchema,
  type TrainingResult,
  trainingResultSchema,
  type TrainingSpec,
  type TrainingSpecInput,
  trainingSpecSchema,
  type TrainingStatus,
  trainingStatusSchema,
  type TrainingSummary,
  trainingSummarySchema,
  trainerSchema,
  type TrainingUpload,
  type TrainingUploadEnd,
  trainingUploadQuerySchema,
  trainingUploadSchema,
}
