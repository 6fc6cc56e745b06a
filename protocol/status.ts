// What people and scripts can read of a search.

import * as z from 'zod'
import { spaceConfigSchema } from '../search-space/index.ts'
import { tableNameSchema, tableVersionSchema } from '../latency-lut/table/table.ts'
import { agentIdSchema, searchIdSchema, tokenIdSchema } from './ids.ts'
import { costNameSchema } from './bounds.ts'
import { searchConfigSchema } from './search-config.ts'
import { rollbackSchema, snapshotSchema } from './snapshots.ts'
import { anyViewSchema, candidateSchema, distributionFields, frontSchema } from './views.ts'
import { failureReasonSchema, type TaskOutcome, taskResultSchema, taskWorkSchema } from './tasks/index.ts'

const phaseSchema = z
  .enum(['waiting', 'warmup', 'searching', 'paused', 'stalled', 'failed', 'finished', 'stopped'])
  .describe(
    'waiting: no result yet; warmup: weights only; stalled: nobody works on it; failed: task after task was given up, and no more are handed out until it is resumed; finished: all steps done; stopped: ended by a person',
  )
type Phase = z.infer<typeof phaseSchema>

const architectureSchema = z
  .object({
    encoding: z.string().describe('for example fashion-mini:mb3k5,zero,mb6k3'),
    path: z.array(z.int()).describe('operation index per block'),
    blocks: z.array(
      z.object({
        block: z.string(),
        operation: z.string(),
        probability: z.number().optional().describe('there if the search has a distribution over the operations of each block'),
        latencyMs: z.number(),
        predicted: z.literal(true).optional().describe('there if latencyMs was not measured but predicted'),
      }),
    ),
    latencyMs: z.number().describe('sum over the latency table'),
    macs: z.int(),
    parameters: z.int(),
  })
  .meta({ id: 'Architecture' })
type Architecture = z.infer<typeof architectureSchema>

const agentStatusSchema = z
  .object({
    agentId: agentIdSchema,
    tokenId: tokenIdSchema.nullable().describe('the token that it registered with; null: the admin token, or not known'),
    name: z.string(),
    device: z.string(),
    backend: z.string(),
    lanes: z.int().describe('paths that it trains side by side'),
    registeredAtMs: z.int(),
    lastSeenAtMs: z.int(),
    imagesPerSecond: z.number().nullable().describe('of its last tasks, while training'),
    idleShare: z.number().nullable().describe('share of its wall time not spent training'),
    peakBytes: z
      .number()
      .nullable()
      .describe("most bytes that one step's activations and gradients took, summed over threads that ran at once"),
    tasksDone: z.int(),
    duplicates: z.int().describe('results that another agent had delivered before'),
    refusedPushes: z.int().describe('pushes refused for bad numbers'),
    clipped: z.int().describe('tasks of which gradients or differences of weights were far larger than usual, and clipped'),
    isSetAside: z.boolean().describe('whether it gets no more tasks, since that was so of more than a quarter of them'),
    steps: z.int().describe('weight steps of its tasks'),
    bytesSent: z.int().describe('of weights pushed, as they travelled'),
    bytesReceived: z.int().describe('of weights pulled, as they travelled'),
    bytesPerStep: z.number().nullable().describe('of weights, both ways together, by weight step'),
  })
  .meta({ id: 'AgentStatus' })

const failureFields = {
  reason: failureReasonSchema.describe('how its last lease ended'),
  message: z.string().optional().describe('what the last agent said of it'),
  attempts: z.int().describe('leases of it that came to nothing'),
}

const taskFailureSchema = z
  .object({ taskId: z.int(), kind: z.string().describe('of the task'), atMs: z.int(), ...failureFields })
  .meta({ id: 'TaskFailure' })
type TaskFailure = z.infer<typeof taskFailureSchema>

const taskCountsSchema = z
  .object({
    created: z.int(),
    leased: z.int().describe('with an agent now'),
    queued: z.int().describe('returned by agents that disappeared, to be handed out again'),
    done: z.int().describe('results applied, each exactly once'),
    stale: z.int().describe('gate gradients dropped as too old'),
    expiredLeases: z.int(),
    duplicates: z.int().describe('results for tasks that were already done'),
    failed: z.int().describe('given up, because none of several agents could do them'),
    rolledBack: z.int().optional().describe('results that count no more, since the search was taken back; left out: none'),
    lastFailure: taskFailureSchema.nullable(),
  })
  .meta({ id: 'TaskCounts' })
type TaskCounts = z.infer<typeof taskCountsSchema>

const foldedAgentsSchema = z
  .object({
    agents: z.int(),
    tasksDone: z.int(),
    duplicates: z.int(),
    refusedPushes: z.int(),
    clipped: z.int(),
    steps: z.int(),
    bytesSent: z.int(),
    bytesReceived: z.int(),
  })
  .meta({ id: 'FoldedAgents' })
type FoldedAgents = z.infer<typeof foldedAgentsSchema>

const boundStatusSchema = z
  .object({
    cost: costNameSchema,
    atMost: z.number(),
    value: z.number().describe('of the architecture that the search would end with now'),
    expected: z.number().optional().describe('of the distribution, where there is one and the cost is a sum over decisions'),
    isMet: z.boolean(),
  })
  .meta({ id: 'BoundStatus' })
type BoundStatus = z.infer<typeof boundStatusSchema>

const lossSummarySchema = z.object({
  loss: z.number().nullable(),
  accuracy: z.number().nullable().describe('0 to 1'),
})

const searchWarningSchema = z
  .object({
    kind: z.string().describe('flat: probabilities are nearly even; off-target: latency is far from the target'),
    message: z.string().describe('what is the matter, and what would help'),
  })
  .meta({ id: 'SearchWarning' })
type SearchWarning = z.infer<typeof searchWarningSchema>

const searchStatusSchema = z
  .object({
    searchId: searchIdSchema,
    name: z.string(),
    phase: phaseSchema,
    phaseReason: z.string().optional().describe('why it is stalled or failed, and what helps'),
    createdAtMs: z.int(),
    startedAtMs: z.int().nullable(),
    finishedAtMs: z.int().nullable(),
    progress: z.number().describe('0 to 1'),
    timeLeftMs: z.number().nullable(),
    stepsPerSecond: z.number().nullable(),
    imagesPerSecond: z.number().nullable(),
    bytesPerStep: z.number().nullable().describe('of weights pushed and pulled by all agents, by weight step'),
    training: lossSummarySchema.describe('mean of the last weight tasks'),
    architecture: lossSummarySchema.describe('mean of the last architecture tasks, on their own share'),
    validation: lossSummarySchema
      .extend({ atStep: z.int().nullable() })
      .describe('last evaluation of the most probable architecture, shared weights'),
    steps: z
      .object({ done: z.int(), total: z.int(), unit: z.string().describe('what they are, for people: "steps" or "trainings"') })
      .describe('how far it is, in words'),
    view: anyViewSchema.describe('what the strategy has found; kinds that a reader does not know are to be ignored'),
    ...z.object(distributionFields).partial().shape,
    targetLatencyMs: z.number(),
    constraint: z
      .object({ bound: z.number(), value: z.number(), isMet: z.boolean() })
      .describe('the target latency, and that of the architecture that the search would end with now, in milliseconds'),
    warnings: z.array(searchWarningSchema).default([]).describe('what will spoil the result if it stays so, or has'),
    bounds: z
      .array(boundStatusSchema)
      .optional()
      .describe('how the search keeps each of its bounds, the target latency first; left out by older coordinators'),
    best: z.array(candidateSchema).describe('the best candidates so far, best first'),
    fronts: z
      .array(frontSchema)
      .optional()
      .describe('of what was evaluated, for each cost; left out where nothing was, and by older coordinators'),
    current: architectureSchema.describe('what the search would end with now'),
    space: spaceConfigSchema,
    blocks: z.array(z.object({ name: z.string(), operations: z.array(z.string()) })),
    agents: z.array(agentStatusSchema),
    datasetFingerprint: z
      .string()
      .nullable()
      .optional()
      .describe('of the data that agents have to have; null: those of the agent that registers first; left out by older coordinators'),
    foldedAgents: foldedAgentsSchema.optional().describe('in total, of agents that were not seen for long; left out where there are none'),
    tasks: taskCountsSchema,
    snapshots: z.array(snapshotSchema).optional().describe('what the search can be taken back to, oldest first; left out: nothing'),
    rollbacks: z.array(rollbackSchema).optional().describe('how it was taken back, the last times, oldest first; left out: never'),
    latencyTable: z.object({
      name: tableNameSchema,
      version: tableVersionSchema,
      device: z.string(),
      runtime: z.string(),
      batch: z.int(),
      predicted: z
        .object({
          count: z.int().describe("keys of the space's operations"),
          rmseMs: z.number().describe('root mean square error of the predictor, cross-validated, milliseconds'),
          mapePct: z.number().describe('mean absolute error of the predictor, cross-validated, percent'),
        })
        .optional()
        .describe('there if the latency of some operations of the space was not measured but predicted'),
    }),
    config: searchConfigSchema,
    sockets: z
      .object({ agents: z.int().describe('of agents that wait for work'), pages: z.int().describe('of those who look at the status') })
      .optional()
      .describe('open ones; left out by older coordinators'),
  })
  .meta({ id: 'SearchStatus' })
type SearchStatus = z.infer<typeof searchStatusSchema>

const searchSummarySchema = z
  .object({ searchId: searchIdSchema, name: z.string(), phase: phaseSchema, space: z.string(), createdAtMs: z.int() })
  .meta({ id: 'SearchSummary' })
type SearchSummary = z.infer<typeof searchSummarySchema>

const createSearchResponseSchema = z
  .object({
    searchId: searchIdSchema,
    agentToken: z.string().describe('good for agents of this search; shown this once'),
    tokenId: tokenIdSchema,
    expectedLatencyMs: z.number().optional().describe('at the starting alpha, where there is one'),
    tableVersion: tableVersionSchema,
    datasetFingerprint: z
      .string()
      .nullable()
      .optional()
      .describe('of the data that agents have to have; null: those of the agent that registers first; left out by older coordinators'),
  })
  .meta({ id: 'CreateSearchResponse' })

const datasetBindingSchema = z
  .strictObject({
    fingerprint: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits')
      .nullable()
      .describe('of the data that agents have to have; null: those of the agent that registers next'),
  })
  .meta({ id: 'DatasetBinding' })

/** Curves of a search: of weight steps, of architecture steps on their own share, of the most probable architecture. */
const metricSeriesSchema = z.enum(['training', 'architecture', 'validation'])
type MetricSeries = z.infer<typeof metricSeriesSchema>

const metricSchema = z
  .object({
    seq: z.int().describe('order of application, from 1'),
    atMs: z.int(),
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
    series: metricSeriesSchema
      .optional()
      .describe('curve that it belongs to; absent in what version 0.1.0 stored, where it follows from `kind`'),
    weightSteps: z.int().describe('steps done after this, in the unit of the status'),
    loss: z.number(),
    accuracy: z.number(),
    entropy: z.number().optional().describe('mean per block, where the view is a distribution'),
    expectedLatencyMs: z.number().optional().describe('where the view is a distribution'),
  })
  .meta({ id: 'Metric' })
type Metric = z.infer<typeof metricSchema>

const tableSummarySchema = z
  .object({
    name: tableNameSchema,
    version: tableVersionSchema,
    device: z.string(),
    runtime: z.string(),
    batch: z.int(),
    entries: z.int(),
    publishedAtMs: z.int(),
  })
  .meta({ id: 'TableSummary' })
type TableSummary = z.infer<typeof tableSummarySchema>

const logFields = {
  seq: z.int().describe('order of application, from 1'),
  taskId: z.int(),
  agentId: z.string().describe('of the agent that delivered it, or had it last'),
  tokenId: z.string().optional().describe('the token of that agent, where it is known'),
  work: taskWorkSchema,
  private: z.unknown().optional().describe('what the strategy kept beside the work'),
  rolledBack: z
    .int()
    .min(1)
    .optional()
    .describe('number of the rollback that took the search back to before it: it counts no more, and a replay leaves it out'),
}

/** What became of a task, in the order in which the strategy heard of it: enough to replay the search. */
const logEntrySchema = z
  .discriminatedUnion('outcome', [
    z.object({
      ...logFields,
      outcome: z.enum(['applied', 'stale']),
      result: taskResultSchema.describe('as it was applied'),
      clipped: z.int().optional().describe('steps whose gradients were far larger than usual, and clipped'),
      excluded: z.literal(true).optional().describe('alpha was rebuilt without it: the strategy knows it as a failure'),
      metric: metricSchema.optional().describe('absent where the result is on no curve'),
    }),
    z.object({ ...logFields, outcome: z.literal('failed'), atMs: z.int(), ...failureFields }),
  ])
  .meta({ id: 'LogEntry' })
type LogEntry = z.infer<typeof logEntrySchema>

/** What the strategy was told. */
function outcomeOf(entry: LogEntry): TaskOutcome {
  if (entry.outcome !== 'failed' && entry.excluded) return { kind: 'failure', reason: 'bad-numbers', attempts: 1 }
  if (entry.outcome !== 'failed') return { kind: 'result', result: entry.result }
  return { kind: 'failure', reason: entry.reason, attempts: entry.attempts }
}

export {
  type Architecture,
  architectureSchema,
  type BoundStatus,
  createSearchResponseSchema,
  datasetBindingSchema,
  type FoldedAgents,
  type LogEntry,
  logEntrySchema,
  type Metric,
  metricSchema,
  type MetricSeries,
  outcomeOf,
  type Phase,
  phaseSchema,
  type SearchStatus,
  searchStatusSchema,
  type SearchSummary,
  searchSummarySchema,
  type SearchWarning,
  type TableSummary,
  tableSummarySchema,
  type TaskCounts,
  type TaskFailure,
}
