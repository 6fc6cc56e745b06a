// The part of a checkpoint of a training from scratch that is no tensor: JSON, in the metadata of the safetensors file
// under `state`. Its tensors are `weight/KEY`, `velocity/KEY` (not before the first step; with AdamW the mean of gradients), with AdamW
// `square/KEY` (the mean of their squares), with a moving average `average/KEY` and, of a training that keeps its best weights,
// `best/KEY` from the first evaluation on: weights and, by the keys of a model, statistics.

import * as z from 'zod'
import { recipeSchema } from './recipe.ts'

const CHECKPOINT_FORMAT = 'gatehouse-checkpoint/1'

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
const seed = z.int().min(0).max(0xffffffff)

/** What has to be the same for a training to go on. */
const trainingIdentitySchema = z.strictObject({
  architecture: z.string().describe('as printArchitecture writes it'),
  network: sha256.describe('of its layers, which tells apart spaces of one name'),
  dataset: z.strictObject({ name: z.string(), fingerprint: sha256 }),
  recipe: recipeSchema,
  seed,
  shareSeed: seed,
  teacher: sha256.nullable().describe("of the teacher's weights"),
  initial: sha256.nullable().describe('of the weights that it started from; null: random ones'),
})
type TrainingIdentity = z.infer<typeof trainingIdentitySchema>

const scoreSchema = z.strictObject({ top1: z.number(), top5: z.number(), crossEntropy: z.number(), images: z.int() })
const epochReportSchema = z.strictObject({
  epoch: z.number().describe('passes over the training images so far'),
  step: z.int(),
  trainLoss: z.number().describe('mean over the steps since the last report'),
  validation: scoreSchema.nullable(),
})
type EpochReport = z.infer<typeof epochReportSchema>

const checkpointStateSchema = z.strictObject({
  format: z.literal(CHECKPOINT_FORMAT),
  identity: trainingIdentitySchema,
  step: z.int().min(0).describe('mini-batches done'),
  lossSum: z.number().describe('of the steps since the last report'),
  reports: z.array(epochReportSchema),
  threads: z
    .int()
    .min(1)
    .default(1)
    .describe('that shared each mini-batch: what goes on with as many gives the same bits. Checkpoints of earlier versions lack it'),
  best: z.strictObject({ epoch: z.number(), top1: z.number() }).nullable().describe('of the validation share so far'),
})
type CheckpointState = z.infer<typeof checkpointStateSchema>

/** Names of tensors by what they are. */
const checkpointGroups = {
  weights: 'weight/',
  velocities: 'velocity/',
  squares: 'square/',
  average: 'average/',
  best: 'best/',
} as const

export {
  CHECKPOINT_FORMAT,
  checkpointGroups,
  type CheckpointState,
  checkpointStateSchema,
  type EpochReport,
  epochReportSchema,
  scoreSchema,
  type TrainingIdentity,
}
