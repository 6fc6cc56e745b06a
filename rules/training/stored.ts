// What is stored of a training, row by row. A change of a form here needs a migration in coordinator/objects/migrations/training.ts.

import * as z from 'zod'
import type { EpochReport, TrainingInput, TrainingProgress, TrainingResult, TrainingSpec, TrainingStatus } from '../../protocol/index.ts'
import { storedRecipeSchema } from '../stored/recipe.ts'
import { storedSpaceRefSchema, storedSpaceSchema } from '../stored/space.ts'
import { storedAs } from '../stored/stored-form.ts'

const count = z.int().min(0)
const atMs = z.int()
const normalisation = z.strictObject({ mean: z.array(z.number()), std: z.array(z.number()) })
const score = z.strictObject({ top1: z.number(), top5: z.number(), crossEntropy: z.number(), images: z.int() })

const specSchema = storedAs<TrainingSpec>()(
  z.strictObject({
    name: z.string(),
    space: storedSpaceRefSchema,
    architecture: z.string(),
    dataset: z.strictObject({ name: z.string(), fingerprint: z.string().optional(), bits: z.literal([8, 16]).optional() }),
    recipe: storedRecipeSchema,
    seed: z.int(),
    shareSeed: z.int().optional(),
    test: z.boolean(),
    initial: z.strictObject({ fingerprint: z.string() }).optional(),
    teacher: z.strictObject({ fingerprint: z.string(), space: storedSpaceRefSchema, architecture: z.string(), normalisation }).optional(),
    leaseMs: z.int(),
    checkpointMs: z.int(),
  }),
)

/** What a training is created with; it never changes. */
const trainingSetupSchema = z.strictObject({ trainingId: z.string(), createdAtMs: atMs, spec: specSchema, space: storedSpaceSchema })
type TrainingSetup = z.infer<typeof trainingSetupSchema>

/** Bytes in the store, named by a number that is never used again; `bytes` of them when they are all there. */
const blobSchema = z.strictObject({ blob: z.int().min(1), bytes: count })

const inputSchema = storedAs<TrainingInput>()(z.enum(['initial', 'teacher']))

const progressSchema = storedAs<TrainingProgress>()(
  z.strictObject({
    step: z.int(),
    steps: z.int(),
    stepsPerEpoch: z.int(),
    loss: z.number(),
    imagesPerSecond: z.number().nullable(),
  }),
)

const trainerSchema = storedAs<Required<TrainingStatus['trainers'][number]>>()(
  z.strictObject({
    name: z.string(),
    device: z.string(),
    backend: z.string(),
    leaseId: z.string(),
    agentId: z.string(),
    sinceMs: atMs,
    lastSeenAtMs: atMs,
    fromStep: z.int(),
    savedStep: z.int(),
    end: z.enum(['released', 'expired', 'finished', 'failed', 'diverged', 'paused', 'stopped']).nullable(),
  }),
)

/** An agent that could not go on from the last checkpoint. */
const faultSchema = z.strictObject({
  agentId: z.string(),
  name: z.string(),
  kind: z.enum(['failed', 'diverged']),
  message: z.string(),
  step: count,
  atMs,
})

const resultSchema = storedAs<TrainingResult>()(
  z.discriminatedUnion('end', [
    z.strictObject({
      end: z.enum(['finished', 'stopped']),
      steps: z.int(),
      validation: score,
      test: score.nullable(),
      normalisation,
      classNames: z.array(z.string()).optional(),
    }),
    z.strictObject({ end: z.literal('diverged'), message: z.string() }),
  ]),
)

/** Everything that changes but bytes and reports, in one row. */
const trainingStateSchema = z.strictObject({
  datasetFingerprint: z.string().nullable(),
  startedAtMs: atMs.nullable(),
  finishedAtMs: atMs.nullable(),
  /** What a person wants of it; left out: that it goes on. */
  intent: z.enum(['paused', 'stopped']).optional(),
  lease: z.strictObject({ leaseId: z.string(), agentId: z.string(), expiresAtMs: atMs }).nullable(),
  /** Since the last checkpoint, oldest first; left out: none. */
  faults: z.array(faultSchema).optional(),
  /** Of the agent that has the lease, as it last said. */
  progress: progressSchema.nullable(),
  checkpoint: blobSchema.extend({ step: count, atMs }).nullable(),
  /** Leases given, the last ones only, oldest first; the current one is the last. */
  trainers: z.array(trainerSchema),
  model: blobSchema.nullable(),
  /** What it was given to begin with. */
  inputs: z.partialRecord(inputSchema, blobSchema),
  /** What is being sent in parts: by the agent that has the lease, or before there are any. */
  upload: blobSchema
    .extend({ uploadId: z.string(), what: z.enum(['checkpoint', 'model', ...inputSchema.options]), receivedBytes: count })
    .nullable(),
  result: resultSchema.nullable(),
  counts: z.strictObject({ leases: count, expiredLeases: count, duplicates: count, blobs: count, reports: count }),
})
type TrainingState = z.infer<typeof trainingStateSchema>

const storedReportSchema = storedAs<EpochReport>()(
  z.strictObject({ epoch: z.number(), step: z.int(), trainLoss: z.number(), validation: score.nullable() }),
)

export { storedReportSchema, type TrainingSetup, trainingSetupSchema, type TrainingState, trainingStateSchema }
