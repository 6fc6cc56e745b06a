// What is stored of a search, row by row. A change of a form here needs a migration in coordinator/objects/migrations/search.ts.

import * as z from 'zod'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import type {
  FailureReason,
  FoldedAgents,
  LogEntry,
  Metric,
  Rollback,
  ScoreName,
  SearchConfig,
  TaskFailure,
  TaskResult,
  TaskWork,
} from '../../protocol/index.ts'
import { storedRecipeSchema } from '../stored/recipe.ts'
import { storedSpaceRefSchema, storedSpaceSchema } from '../stored/space.ts'
import { storedAs } from '../stored/stored-form.ts'
import { storedTableFields } from '../stored/table.ts'

const count = z.int().min(0)
const atMs = z.int()
const path = z.array(z.int())

const scoreName = storedAs<ScoreName>()(
  z.enum([
    'params',
    'macs',
    'l2_norm',
    'grad_norm',
    'plain',
    'snip',
    'grasp',
    'fisher',
    'synflow',
    'logsynflow',
    'jacob_cov',
    'naswot',
    'swap',
  ]),
)

/** Settings of every strategy that has a distribution over the operations of each block. */
const alphaFields = {
  warmupSteps: z.int().optional(),
  warmupShare: z.number().optional(),
  archEvery: z.int(),
  learningRate: z.number(),
  beta1: z.number(),
  beta2: z.number(),
  epsilon: z.number(),
  initialDeviation: z.number(),
  initialAlpha: z.array(z.array(z.number())).optional(),
  entropy: z.strictObject({ end: z.number(), weight: z.number() }).optional(),
  finalists: z.strictObject({ count: z.int(), images: z.int(), sampled: z.int().optional(), smoothing: z.number().optional() }).optional(),
  maxStaleness: z.int(),
  evaluateEvery: z.int(),
  evaluateImages: z.int(),
}

/** Of strategies that train architectures one by one. */
const scoreSettings = { names: z.array(scoreName), warmup: z.int(), perTask: z.int() }
const trialFields = { trials: z.int(), recipe: storedRecipeSchema }
const scoresField = z.strictObject(scoreSettings).optional()
const scoresOfMoves = z.strictObject({ ...scoreSettings, moves: z.number() }).optional()

/** Settings of their own, of those that train architectures one by one; a halving has one of them within. */
const proposers = {
  random: { name: z.literal('random'), scores: scoresField },
  agingEvolution: {
    name: z.literal('aging-evolution'),
    scores: scoresOfMoves,
    population: z.int(),
    sample: z.int(),
    selection: z.enum(['age', 'nsga-2']).optional(),
    costs: z.array(z.string()).optional(),
  },
  localSearch: { name: z.literal('local-search'), scores: scoresOfMoves, starts: z.int() },
  reinforce: {
    name: z.literal('reinforce'),
    scores: scoresField,
    baselineRate: z.number(),
    entropyWeight: z.number(),
    learningRate: z.number(),
    beta1: z.number(),
    beta2: z.number(),
    epsilon: z.number(),
  },
  predictor: {
    name: z.literal('predictor'),
    scores: scoresField,
    starts: z.int(),
    every: z.int(),
    randomShare: z.number(),
    pool: z.int(),
    hidden: z.int(),
    epochs: z.int(),
    learningRate: z.number(),
    weightDecay: z.number(),
  },
}

/** Of strategies that weigh samples by their likelihood. */
const importanceFields = {
  images: z.int(),
  temper: z.number().optional(),
  weightSamples: z.int().optional(),
  latencyWeight: z.number(),
}

/** Of strategies that evaluate architectures with the weights of a trained supernet. */
const sharedWeightFields = { images: z.int(), candidatesPerTask: z.int() }

const configSchema = storedAs<SearchConfig>()(
  z.strictObject({
    name: z.string(),
    space: storedSpaceRefSchema,
    dataset: z.strictObject({ name: z.string(), fingerprint: z.string().optional(), bits: z.literal([8, 16]).optional() }),
    latency: z.strictObject({
      targetMs: z.number(),
      table: z.strictObject({ name: z.string(), version: z.string().optional() }),
      missing: z.enum(['refuse', 'predict']),
      loss: z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('none') }),
        z.strictObject({ kind: z.literal('add#linear'), lambda: z.number() }),
        z.strictObject({ kind: z.literal('mul#log'), a: z.number(), b: z.number() }),
        z.strictObject({ kind: z.literal('add#abs'), lambda: z.number(), margin: z.number() }),
      ]),
    }),
    bounds: z.array(z.strictObject({ cost: z.string(), atMost: z.number(), weight: z.number() })).optional(),
    seed: z.int(),
    strategy: z.discriminatedUnion('name', [
      z.strictObject({
        name: z.literal('proxyless-g'),
        form: z.enum(['two', 'full']),
        ...alphaFields,
      }),
      z.strictObject({ ...trialFields, ...proposers.random }),
      z.strictObject({ ...trialFields, ...proposers.agingEvolution }),
      z.strictObject({ ...trialFields, ...proposers.localSearch }),
      z.strictObject({ ...trialFields, ...proposers.reinforce }),
      z.strictObject({ ...trialFields, ...proposers.predictor }),
      z.strictObject({
        name: z.literal('eas'),
        ...trialFields,
        round: z.int(),
        widerActions: z.int(),
        deeperActions: z.int(),
        baselineRate: z.number(),
        entropyWeight: z.number(),
        learningRate: z.number(),
        beta1: z.number(),
        beta2: z.number(),
        epsilon: z.number(),
      }),
      z.strictObject({
        name: z.literal('successive-halving'),
        ...trialFields,
        leastEpochs: z.number(),
        eta: z.int(),
        proposer: z.discriminatedUnion('name', [
          z.strictObject(proposers.random),
          z.strictObject(proposers.agingEvolution),
          z.strictObject(proposers.localSearch),
          z.strictObject(proposers.reinforce),
          z.strictObject(proposers.predictor),
        ]),
      }),
      z.strictObject({
        name: z.literal('spos'),
        population: z.int(),
        generations: z.int(),
        parents: z.int(),
        mutation: z.number(),
        search: z.enum(['evolution', 'annealing']).optional(),
        annealing: z
          .strictObject({ restarts: z.int(), moves: z.int(), slack: z.number(), products: z.boolean(), ridge: z.number() })
          .optional(),
        preselect: z.strictObject({ keep: z.int(), latencyWeight: z.number() }).optional(),
        stages: z.int().optional(),
        consistency: z.strictObject({ weight: z.number(), temperature: z.number() }).optional(),
        nearTarget: z.strictObject({ share: z.number(), least: z.number(), restart: z.number() }).optional(),
        trained: z.enum(['all', 'batch-norms']).optional(),
        score: z.enum(['accuracy', 'log-likelihood', 'batch-norms']).optional(),
        smoothing: z.number().optional(),
        firstGeneration: z.int().optional(),
        ...sharedWeightFields,
      }),
      z.strictObject({ name: z.literal('one-shot'), pathDropout: z.number(), candidates: z.int(), ...sharedWeightFields }),
      z.strictObject({
        name: z.literal('darts'),
        order: z.enum(['first', 'second']),
        alphaDecay: z.number(),
        ...alphaFields,
      }),
      z.strictObject({ name: z.literal('parsec'), samples: z.int(), ...importanceFields, ...alphaFields }),
      z.strictObject({
        name: z.literal('fp-nas'),
        lambda: z.number(),
        leastSamples: z.int(),
        mostSamples: z.int(),
        jointFrom: z.number().optional(),
        ...importanceFields,
        ...alphaFields,
      }),
      z.strictObject({
        name: z.literal('proxyless-r'),
        samples: z.int(),
        images: z.int(),
        reward: z.discriminatedUnion('kind', [
          z.strictObject({ kind: z.literal('accuracy') }),
          z.strictObject({ kind: z.literal('product'), exponent: z.number() }),
          z.strictObject({ kind: z.literal('bound'), exponent: z.number() }),
        ]),
        baseline: z.discriminatedUnion('kind', [
          z.strictObject({ kind: z.literal('leave-one-out') }),
          z.strictObject({ kind: z.literal('moving-average'), rate: z.number() }),
        ]),
        ...alphaFields,
      }),
    ]),
    training: z.strictObject({
      hours: z.number().optional(),
      steps: z.int(),
      batchSize: z.int(),
      learningRate: z.number(),
      momentum: z.number(),
      weightDecay: z.number(),
      labelSmoothing: z.number(),
      augmentation: z.strictObject({ flip: z.boolean(), shift: z.int(), minArea: z.number() }),
      reducedResolution: z.strictObject({ divisor: z.int(), share: z.number() }).optional(),
      shares: z.strictObject({ weights: z.number(), architecture: z.number(), validation: z.number() }),
    }),
    tasks: z.strictObject({
      weightSteps: z.int(),
      architectureSteps: z.int(),
      leaseMs: z.int(),
      maxLeaseMs: z.int().optional(),
      leasesPerAgent: z.int().optional(),
      maxOutstanding: z.int(),
      checkpointMs: z.int(),
    }),
    weights: z.strictObject({ encoding: z.enum(['fp32', 'bf16', 'int8']), staleness: z.enum(['inverse', 'none']), shardBytes: z.int() }),
    snapshots: z.strictObject({ everySteps: z.int().optional(), keep: z.int().optional() }).optional(),
  }),
)

const pinnedTableSchema = storedAs<Omit<LatencyTable, 'entries'>>()(z.strictObject(storedTableFields))

/** What a search is created with; it never changes. */
const searchSetupSchema = z.strictObject({
  searchId: z.string(),
  createdAtMs: atMs,
  config: configSchema,
  space: storedSpaceSchema,
  /** The pinned table without its entries: those that matter are in `latency`. */
  table: pinnedTableSchema.extend({ version: z.string() }),
  latency: z.strictObject({
    fixedMs: z.number(),
    operationMs: z.array(z.array(z.number())),
    joint: z.array(z.strictObject({ decisions: z.array(z.int()), ms: z.array(z.number()) })).optional(),
  }),
  /** What of `latency` was not measured but predicted, [decision][option]; left out where everything was measured. */
  predicted: z
    .strictObject({ count: z.int(), rmseMs: z.number(), mapePct: z.number(), operations: z.array(z.array(z.boolean())) })
    .optional(),
})
type SearchSetup = z.infer<typeof searchSetupSchema>

/** `steps`: weight steps of the task itself, or, for the other kinds, those done before it. */
const recentSchema = z.strictObject({ atMs, loss: z.number(), correct: z.int(), images: z.int(), steps: z.int() })
type Recent = z.infer<typeof recentSchema>

const failureReason = storedAs<FailureReason>()(z.enum(['failed', 'bad-numbers', 'expired']))
const failureFields = { reason: failureReason, message: z.string().optional(), attempts: z.int() }
const failureSchema = storedAs<TaskFailure>()(z.strictObject({ taskId: z.int(), kind: z.string(), atMs, ...failureFields }))

const rollbackSchema = z.strictObject({ number: z.int(), snapshot: z.int(), atMs, steps: z.number(), results: z.int() })

/** Everything that changes with a result or a command, in one row. `strategy` belongs to the strategy, which has a schema for it. */
const searchStateSchema = z.strictObject({
  strategy: z.unknown(),
  intent: z.enum(['running', 'paused', 'stopped']),
  startedAtMs: atMs.nullable(),
  finishedAtMs: atMs.nullable(),
  datasetFingerprint: z.string().nullable(),
  counts: z.strictObject({
    created: count,
    done: count,
    stale: count,
    /** Given up. */
    failed: count,
    expiredLeases: count,
    duplicates: count,
    agents: count,
    /** Entries of the log that count no more, since the search was taken back; left out: none. */
    rolledBack: count.optional(),
  }),
  lastFailure: failureSchema.nullable(),
  /** Tasks that were given up since the last result or command; left out: none. */
  failuresInARow: count.optional(),
  /** Of agents that were not seen for long; left out: none. */
  foldedAgents: storedAs<FoldedAgents>()(
    z.strictObject({
      agents: z.int(),
      tasksDone: z.int(),
      duplicates: z.int(),
      refusedPushes: z.int(),
      clipped: z.int(),
      steps: z.int(),
      bytesSent: z.int(),
      bytesReceived: z.int(),
    }),
  ).optional(),
  /** Results that alpha was rebuilt without so far; left out: none. */
  exclusions: count.optional(),
  /** Of snapshots; left out: none was taken or wanted yet. */
  snapshots: z
    .strictObject({
      /** Number of the one that was begun last. */
      last: count,
      /** Steps and results at the one that was taken last. */
      steps: z.number(),
      results: count,
      /** When the next one is to be taken; null: not before more results have come. */
      dueAtMs: atMs.nullable(),
    })
    .optional(),
  /** How the search was taken back, the last times, oldest first; left out: never. */
  rollbacks: z.array(storedAs<Rollback>()(rollbackSchema)).optional(),
  /** The last rollback, while not all shards are back. */
  isRollingBack: z.literal(true).optional(),
  /** Of gate gradients that came last, oldest first: the root mean square of each step. */
  gateSizes: z.array(z.number()),
  recent: z.strictObject({
    trainWeights: z.array(recentSchema),
    gateGradients: z.array(recentSchema),
    evaluatePaths: z.array(recentSchema),
  }),
})
type SearchState = z.infer<typeof searchStateSchema>

/** Of work that trains weights. */
const weightStepFields = {
  firstStep: z.int(),
  lanes: z.strictObject({ count: z.int(), mergeEvery: z.int() }).optional(),
  schedule: z.strictObject({ from: z.number(), perStep: z.number(), counts: z.number() }).optional(),
  round: z
    .strictObject({
      members: z.int(),
      commonShare: z.number(),
      sharedOperations: z.array(z.strictObject({ block: z.int(), operation: z.int(), share: z.number() })),
      parts: z.array(z.array(z.array(z.int()))).optional(),
      velocities: z.boolean().optional(),
    })
    .optional(),
}
/** [block][operation] */
const mixtureSchema = z.array(z.array(z.number()))

const workSchema = storedAs<TaskWork>()(
  z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('trainWeights'),
      ...weightStepFields,
      paths: z.array(path),
      samples: z.strictObject({ count: z.int(), temper: z.number() }).optional(),
      consistency: z.strictObject({ weight: z.number(), temperature: z.number() }).optional(),
      trained: z.literal('batch-norms').optional(),
    }),
    z.strictObject({
      kind: z.literal('trainMixtures'),
      ...weightStepFields,
      steps: z.int(),
      mixture: mixtureSchema.optional(),
      dropped: z.array(z.array(z.array(z.int()))).optional(),
    }),
    z.strictObject({
      kind: z.literal('mixtureGradients'),
      firstStep: z.int(),
      steps: z.int(),
      mixture: mixtureSchema,
      unrolled: z.strictObject({ firstBatch: z.int(), position: z.number() }).optional(),
      alphaVersion: z.int(),
    }),
    z.strictObject({
      kind: z.literal('gateGradients'),
      firstStep: z.int(),
      steps: z.array(z.array(z.strictObject({ active: z.int(), inactive: z.array(z.int()) }))),
      alphaVersion: z.int(),
    }),
    z.strictObject({
      kind: z.literal('evaluatePaths'),
      paths: z.array(path),
      images: z.int().optional(),
      batches: z.strictObject({ first: z.int(), count: z.int() }).optional(),
    }),
    z.strictObject({ kind: z.literal('batchNormScales'), paths: z.array(path) }),
    z.strictObject({ kind: z.literal('score'), paths: z.array(path), scores: z.array(scoreName), batch: z.int() }),
    z.strictObject({
      kind: z.literal('trainArchitecture'),
      path,
      start: z.union([z.enum(['scratch', 'supernet']), z.strictObject({ trial: z.int(), path })]),
      recipe: storedRecipeSchema,
      seed: z.int(),
      trial: z.int().optional(),
      isParent: z.literal(true).optional(),
      epochs: z.number().optional(),
    }),
  ]),
)

const outstandingTaskSchema = z.strictObject({
  taskId: z.int(),
  work: workSchema,
  /** The strategy's own, beside the work. */
  private: z.unknown().optional(),
  /** Null while the task waits to be handed out again. */
  lease: z
    .strictObject({
      leaseId: z.string(),
      agentId: z.string(),
      expiresAtMs: atMs,
      /** Null in leases that version 0.1.0 gave. */
      leasedAtMs: atMs.nullable(),
    })
    .nullable(),
  /** Leases of it that came to nothing: they expired, or training failed. */
  attempts: count,
  /** Whose leases those were; left out: nobody's, or not known. */
  failedBy: z.array(z.strictObject({ agentId: z.string(), tokenId: z.string().nullable(), atMs })).optional(),
  /** Those of its leases that ended last: their agents may still deliver. */
  ended: z.array(z.strictObject({ leaseId: z.string(), agentId: z.string() })),
  /** Whether it came back with a snapshot: it may have had leases that nobody knows of any more. */
  isRequeued: z.literal(true).optional(),
})
type OutstandingTask = z.infer<typeof outstandingTaskSchema>

const agentRecordSchema = z.strictObject({
  agentId: z.string(),
  /** The token that it registered with; null: the admin token, or not known since an earlier version registered it. */
  tokenId: z.string().nullable(),
  name: z.string(),
  device: z.string(),
  backend: z.string(),
  lanes: z.int().min(1),
  /** What it said at its registration that it speaks and knows. */
  protocol: z.int(),
  kinds: z.record(z.string(), z.int()),
  registeredAtMs: atMs,
  lastSeenAtMs: atMs,
  /** Whether it has asked for work: one that only registered has no seat in a round. */
  asked: z.boolean(),
  tasksDone: count,
  duplicates: count,
  refusedPushes: count,
  /** Tasks of which numbers were clipped, and the last of them. */
  clipped: count,
  lastClippedTaskId: z.int().nullable(),
  trainMs: z.number(),
  idleMs: z.number(),
  /** Of its last weight tasks in rounds, smoothed; null before there was one. */
  exchangeMs: z.number().nullable(),
  imagesPerSecond: z.number().nullable(),
  peakBytes: z.number().nullable(),
  steps: count,
  bytesSent: count,
  bytesReceived: count,
})
type AgentRecord = z.infer<typeof agentRecordSchema>

/** Of a trial: bytes in the store, named by a number. */
const trialFilesSchema = z.strictObject({
  trial: count,
  checkpoint: z.strictObject({ blob: z.int().min(1), bytes: count, step: count, atMs }).nullable(),
  /** What is being sent in parts. */
  upload: z
    .strictObject({ uploadId: z.string(), what: z.literal('checkpoint'), blob: z.int().min(1), bytes: count, receivedBytes: count })
    .nullable(),
})
type TrialFiles = z.infer<typeof trialFilesSchema>

const counts = { correct: z.int(), images: z.int() }

const resultSchema = storedAs<TaskResult>()(
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('trainWeights'), loss: z.number(), ...counts, effectiveSamples: z.number().optional() }),
    z.strictObject({ kind: z.literal('trainMixtures'), loss: z.number(), ...counts }),
    z.strictObject({
      kind: z.literal('mixtureGradients'),
      steps: z.array(z.strictObject({ crossEntropy: z.number(), ...counts, gradients: z.array(z.array(z.number())) })),
    }),
    z.strictObject({
      kind: z.literal('gateGradients'),
      steps: z.array(z.strictObject({ crossEntropy: z.number(), ...counts, gateGradients: z.array(z.array(z.number()).nullable()) })),
    }),
    z.strictObject({ kind: z.literal('evaluatePaths'), paths: z.array(z.strictObject({ crossEntropy: z.number(), ...counts })) }),
    z.strictObject({ kind: z.literal('batchNormScales'), scales: z.array(z.number()) }),
    z.strictObject({
      kind: z.literal('score'),
      paths: z.array(z.strictObject({ values: z.array(z.number().nullable()), seconds: z.array(z.number()) })),
    }),
    z.strictObject({
      kind: z.literal('trainArchitecture'),
      end: z.enum(['finished', 'stopped', 'diverged']),
      steps: z.int(),
      seconds: z.number(),
      validation: z.strictObject({ crossEntropy: z.number(), ...counts }).nullable(),
      curve: z.array(z.strictObject({ step: z.int(), loss: z.number(), accuracy: z.number().nullable() })),
    }),
  ]),
)

/** `metric` by itself is what a history reads of an entry. */
const storedMetricSchema = storedAs<Metric>()(
  z.strictObject({
    seq: z.int(),
    atMs,
    taskId: z.int(),
    kind: z.enum([
      'trainWeights',
      'trainMixtures',
      'gateGradients',
      'mixtureGradients',
      'evaluatePaths',
      'batchNormScales',
      'score',
      'trainArchitecture',
    ]),
    series: z.enum(['training', 'architecture', 'validation']).optional(),
    weightSteps: z.number(),
    loss: z.number(),
    accuracy: z.number(),
    entropy: z.number().optional(),
    expectedLatencyMs: z.number().optional(),
  }),
)

const logFields = {
  seq: z.int(),
  taskId: z.int(),
  agentId: z.string(),
  tokenId: z.string().optional(),
  work: workSchema,
  private: z.unknown().optional(),
  rolledBack: z.int().optional(),
}

const storedLogEntrySchema = storedAs<LogEntry>()(
  z.discriminatedUnion('outcome', [
    z.strictObject({
      ...logFields,
      outcome: z.enum(['applied', 'stale']),
      result: resultSchema,
      clipped: count.optional(),
      excluded: z.literal(true).optional(),
      metric: storedMetricSchema.optional(),
    }),
    z.strictObject({ ...logFields, outcome: z.literal('failed'), atMs, ...failureFields }),
  ]),
)

/** What is listed of a snapshot; `forms`: those of the rows in it, of the search and of its shards. */
const storedSnapshotSchema = z.strictObject({
  number: z.int(),
  atMs,
  steps: z.number(),
  results: z.int(),
  bytes: z.int(),
  forms: z.strictObject({ search: z.int(), shards: z.int() }),
  /** Whether all shards have theirs. */
  isComplete: z.boolean(),
})
type StoredSnapshot = z.infer<typeof storedSnapshotSchema>

/** What a snapshot holds of the search itself, one after the other: its state, its tasks, rows of its strategy. */
const snapshotEntrySchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('state'), state: searchStateSchema }),
  z.strictObject({ kind: z.literal('task'), task: outstandingTaskSchema }),
  z.strictObject({ kind: z.literal('row'), key: z.string(), value: z.unknown() }),
])
type SnapshotEntry = z.infer<typeof snapshotEntrySchema>

export {
  type AgentRecord,
  agentRecordSchema,
  type OutstandingTask,
  outstandingTaskSchema,
  type Recent,
  type SearchSetup,
  searchSetupSchema,
  type SearchState,
  searchStateSchema,
  type SnapshotEntry,
  snapshotEntrySchema,
  storedLogEntrySchema,
  storedMetricSchema,
  type StoredSnapshot,
  storedSnapshotSchema,
  type TrialFiles,
  trialFilesSchema,
}
