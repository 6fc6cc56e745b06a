// What a user writes to start a search. One schema, with defaults for everything but space, dataset and latency target.

import * as z from 'zod'
import { tableNameSchema, tableVersionSchema } from '../latency-lut/table/table.ts'
import { spaceRefSchema } from '../search-space/index.ts'
import { boundsSchema } from './bounds.ts'
import {
  DEFAULT_CHECKPOINT_MS,
  DEFAULT_HELD_MS,
  DEFAULT_LEASES_PER_AGENT,
  DEFAULT_SHARD_BYTES,
  MAX_CHECKPOINT_MS,
  MAX_HELD_MS,
  MAX_LEASE_MS,
  MAX_SHARD_BYTES,
  MAX_TASK_STEPS,
  MIN_LEASE_MS,
} from './limits.ts'
import { pixelBitsSchema } from './pixel-bits.ts'
import { weightEncodingSchema } from './rounding.ts'
import { DEFAULT_SNAPSHOTS, MAX_SNAPSHOTS, MIN_SNAPSHOT_RESULTS } from './snapshots.ts'
import { strategyConfigSchema } from './strategy-settings/index.ts'

const share = z.number().min(0).max(1)

const latencyLossSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('none') }).describe('L = CE: accuracy only'),
    z
      .strictObject({ kind: z.literal('add#linear'), lambda: z.number().min(0).max(100).default(0.1).describe('weight of latency') })
      .describe('L = CE + lambda · (E − target)/target'),
    z
      .strictObject({
        kind: z.literal('mul#log'),
        a: z.number().positive().max(100).default(0.2).describe('factor on the cross-entropy'),
        b: z.number().positive().max(100).default(0.3).describe('exponent: how much latency weighs'),
      })
      .describe('L = a · CE · (ln E / ln target)^b; needs E and target above 1 ms'),
    z
      .strictObject({
        kind: z.literal('add#abs'),
        lambda: z.number().min(0).max(100).default(0.5).describe('weight of latency'),
        margin: z.number().positive().max(1).default(0.1).describe('share of the target within which the pull grows weaker'),
      })
      .describe('L = CE + lambda · |E/target − 1|: pulls the expected latency to the target from both sides (TuNAS, Bender et al. 2020)'),
  ])
  .meta({ id: 'LatencyLoss' })
type LatencyLoss = z.infer<typeof latencyLossSchema>

const trainingConfigSchema = z
  .strictObject({
    steps: z.int().min(1).max(100_000_000).default(10_000).describe('weight steps (mini-batches) of the whole search'),
    hours: z
      .number()
      .positive()
      .max(10_000)
      .optional()
      .describe(
        'how long the search goes on, in place of `steps`: hours in which agents work, however many; for strategies with a distribution',
      ),
    batchSize: z.int().min(1).max(65_536).default(64).describe('images per step'),
    learningRate: z.number().positive().max(100).default(0.05).describe('at the start; falls to 0 by a half cosine'),
    momentum: z.number().min(0).max(0.9999).default(0.9).describe('Nesterov momentum, kept by each agent'),
    weightDecay: z.number().min(0).max(1).default(4e-5).describe('on filters and matrices, not on batch-norm or biases'),
    labelSmoothing: z.number().min(0).max(0.99).default(0.1).describe('share of the target spread over all classes, on weight steps'),
    augmentation: z
      .strictObject({
        flip: z.boolean().default(true).describe('mirror half of the images'),
        shift: z.int().min(0).max(64).default(2).describe('move images by up to this many pixels'),
        minArea: z
          .number()
          .positive()
          .max(1)
          .default(0.08)
          .describe('least part of the area that is drawn of an image in a folder of large images, instead of a shift; 1: the centre'),
      })
      .prefault({}),
    reducedResolution: z
      .strictObject({
        divisor: z
          .int()
          .min(2)
          .max(8)
          .default(2)
          .describe('pixels down and across whose mean is one pixel; height and width of the input are multiples of it'),
        share: z
          .number()
          .positive()
          .max(1)
          .default(1)
          .describe('share of `steps`, from the first one on; with 1 architectures are judged on smaller images too, else on whole ones'),
      })
      .optional()
      .describe(
        'smaller images for the search, or for its first weight steps, which takes a fraction of the time; latencies and other costs stay those of whole images. Left out: whole images always',
      ),
    shares: z
      .strictObject({
        weights: share.default(0.7).describe('share of the training images for weight steps'),
        architecture: share.default(0.2).describe('share for architecture steps'),
        validation: share.default(0.1).describe('share for validation'),
      })
      .prefault({})
      .refine((shares) => Math.abs(shares.weights + shares.architecture + shares.validation - 1) < 1e-6, {
        message: 'expected the three shares to sum to 1',
      })
      .refine((shares) => shares.weights > 0 && shares.architecture > 0 && shares.validation > 0, {
        message: 'expected every share to be above 0',
      }),
  })
  .meta({ id: 'TrainingConfig' })
type TrainingConfig = z.infer<typeof trainingConfigSchema>

const searchConfigSchema = z
  .strictObject({
    name: z.string().min(1).max(100).default('search').describe('for people; need not be unique'),
    space: spaceRefSchema,
    dataset: z.strictObject({
      name: z.string().min(1).max(200).describe('for people, for example fashion-mnist'),
      fingerprint: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
        .optional()
        .describe("SHA-256 that every agent's data must have; default: that of the first agent"),
      bits: pixelBitsSchema.optional(),
    }),
    latency: z.strictObject({
      targetMs: z.number().positive().max(1e9).describe('wanted latency, milliseconds per batch of the table'),
      table: z
        .strictObject({
          name: tableNameSchema,
          version: tableVersionSchema.optional().describe('default: the version published last'),
        })
        .describe('the latency table to use; the search keeps the version it starts with'),
      missing: z
        .enum(['refuse', 'predict'])
        .default('refuse')
        .describe(
          'operations that the table lacks. refuse: the search is refused, and they are named; predict: predicted from the entries that the table has, and marked as predicted',
        ),
      loss: latencyLossSchema
        .prefault({ kind: 'mul#log' })
        .describe('how the expected latency E enters the loss; proxyless-r has strategy.reward instead'),
    }),
    bounds: boundsSchema.optional().describe('bounds on costs of the architecture, beside the target latency; left out: none'),
    seed: z.int().min(0).max(0xffffffff).default(0).describe('seed of everything random'),
    strategy: strategyConfigSchema.prefault({ name: 'proxyless-g' }),
    training: trainingConfigSchema.prefault({}),
    tasks: z
      .strictObject({
        weightSteps: z.int().min(1).max(MAX_TASK_STEPS).default(20).describe('mini-batches in one task'),
        architectureSteps: z.int().min(1).max(MAX_TASK_STEPS).default(4).describe('architecture steps in one task'),
        leaseMs: z
          .int()
          .min(MIN_LEASE_MS)
          .max(MAX_LEASE_MS)
          .default(60_000)
          .describe('an agent that is silent for this long loses its task'),
        maxLeaseMs: z
          .int()
          .min(MIN_LEASE_MS)
          .max(MAX_HELD_MS)
          .optional()
          .describe(
            `an agent that has had a task for this long without a result, or a checkpoint of a trial, loses it whatever it says; default: ${DEFAULT_HELD_MS}`,
          ),
        leasesPerAgent: z
          .int()
          .min(1)
          .max(65_536)
          .optional()
          .describe(`tasks that one agent has at one time: it trains one and fetches another; default: ${DEFAULT_LEASES_PER_AGENT}`),
        maxOutstanding: z.int().min(1).max(65_536).default(256).describe('tasks handed out at one time'),
        checkpointMs: z
          .int()
          .min(0)
          .max(MAX_CHECKPOINT_MS)
          .default(DEFAULT_CHECKPOINT_MS)
          .describe('time between two checkpoints of a trial, from which another agent goes on where the one that has it is lost'),
      })
      .refine(({ leaseMs, maxLeaseMs = Number.POSITIVE_INFINITY }) => maxLeaseMs >= leaseMs, {
        message: 'expected at least tasks.leaseMs',
        path: ['maxLeaseMs'],
      })
      .refine(({ checkpointMs, maxLeaseMs = Number.POSITIVE_INFINITY }) => maxLeaseMs > checkpointMs, {
        message: 'expected more than tasks.checkpointMs, or trials would be lost before they have a checkpoint',
        path: ['maxLeaseMs'],
      })
      .prefault({}),
    weights: z
      .strictObject({
        encoding: weightEncodingSchema
          .default('fp32')
          .describe(
            'of weights and differences on the wire; int8: differences as bytes with a scale per tensor, weights as bf16; the coordinator always keeps float32',
          ),
        staleness: z
          .enum(['inverse', 'none'])
          .default('inverse')
          .describe(
            'inverse: a difference that comes late is divided by one plus how late: in pushes of others to that key since it was pulled, or, in a round of m agents, in times 2m such pushes; none: always added whole',
          ),
        shardBytes: z
          .int()
          .min(1024)
          .max(MAX_SHARD_BYTES)
          .default(DEFAULT_SHARD_BYTES)
          .describe('float32 bytes after which another shard is begun'),
      })
      .prefault({}),
    snapshots: z
      .strictObject({
        everySteps: z
          .int()
          .min(0)
          .max(100_000_000)
          .optional()
          .describe(
            `steps, as the status counts them, between two snapshots; 0: none but those that are asked for; default: a tenth of the search, and ${MIN_SNAPSHOT_RESULTS} results`,
          ),
        keep: z
          .int()
          .min(1)
          .max(MAX_SNAPSHOTS)
          .optional()
          .describe(`snapshots that are kept; default: ${DEFAULT_SNAPSHOTS}, fewer where these would take more than 1 GiB`),
      })
      .optional()
      .describe('what the search can be taken back to'),
  })
  .meta({ id: 'SearchConfig', description: 'Settings of a search.' })
type SearchConfig = z.infer<typeof searchConfigSchema>
type SearchConfigInput = z.input<typeof searchConfigSchema>

export { type LatencyLoss, type SearchConfig, type SearchConfigInput, searchConfigSchema, type TrainingConfig }
