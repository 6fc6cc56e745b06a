// What the rules of a training keep, and the small interface they keep it through. Two implementations (in memory, and
// SQL in a Durable Object) pass the same conformance suite.

import * as z from 'zod'
import { spaceConfigSchema } from '../../search-space/index.ts'
import {
  type EpochReport,
  trainerSchema,
  trainingInputSchema,
  trainingIdSchema,
  trainingProgressSchema,
  trainingResultSchema,
  trainingSpecSchema,
} from '../../protocol/index.ts'

const count = z.int().min(0)

/** What a training is created with; it never changes. */
const trainingSetupSchema = z.strictObject({
  trainingId: trainingIdSchema,
  createdAtMs: z.int(),
  spec: trainingSpecSchema,
  space: spaceConfigSchema,
})
type TrainingSetup = z.infer<typeof trainingSetupSchema>

/** Bytes in the store, named by a number that is never used again; `bytes` of them when they are all there. */
const blobSchema = z.strictObject({ blob: z.int().min(1), bytes: count })

/** Everything that changes but bytes and reports, in one row. */
const trainingStateSchema = z.strictObject({
  datasetFingerprint: z.string().nullable(),
  startedAtMs: z.int().nullable(),
  finishedAtMs: z.int().nullable(),
  lease: z.strictObject({ leaseId: z.string(), agentId: z.string(), expiresAtMs: z.int() }).nullable(),
  /** Of the agent that has the lease, as it last said. */
  progress: trainingProgressSchema.nullable(),
  checkpoint: blobSchema.extend({ step: count, atMs: z.int() }).nullable(),
  /** Leases given, the last ones only, oldest first; the current one is the last. */
  trainers: z.array(trainerSchema),
  model: blobSchema.nullable(),
  /** What it was given to begin with. */
  inputs: z.partialRecord(trainingInputSchema, blobSchema).default({}),
  /** What is being sent in parts: by the agent that has the lease, or before there are any. */
  upload: blobSchema
    .extend({ uploadId: z.string(), what: z.enum(['checkpoint', 'model', ...trainingInputSchema.options]), receivedBytes: count })
    .nullable()
    .default(null),
  result: trainingResultSchema.nullable(),
  counts: z.strictObject({ leases: count, expiredLeases: count, duplicates: count, blobs: count, reports: count }),
})
type TrainingState = z.infer<typeof trainingStateSchema>

type TrainingStore = {
  /** Runs `body`; if it throws, nothing that it wrote remains. */
  transaction<T>(body: () => T): T
  readSetup(): TrainingSetup | null
  writeSetup(setup: TrainingSetup): void
  readState(): TrainingState
  writeState(state: TrainingState): void
  /** In order of `seq`, which counts from 1. */
  readReports(): readonly EpochReport[]
  appendReport(seq: number, report: EpochReport): void
  /** Bytes of a blob from `begin` on, a multiple of CHECKPOINT_CHUNK_BYTES, where those before it are there. */
  writeBlob(blob: number, begin: number, bytes: Uint8Array): void
  /** Bytes from `begin` up to `end`. Throws where they are not there: the state names only blobs that are. */
  readBlob(blob: number, begin: number, end: number): Uint8Array<ArrayBuffer>
  deleteBlob(blob: number): void
}

export { type TrainingSetup, trainingSetupSchema, type TrainingState, trainingStateSchema, type TrainingStore }
