// What the rules of a search keep, and the small interface they keep it through. Two implementations (in memory, and SQL
// in a Durable Object) pass the same conformance suite.

import * as z from 'zod'
import { latencyTableSchema, tableVersionSchema } from '../../latency-lut/table/table.ts'
import { spaceConfigSchema } from '../../search-space/index.ts'
import { type LogEntry, type Metric, searchConfigSchema, searchIdSchema, taskWorkSchema } from '../../protocol/index.ts'

const count = z.int().min(0)

/** What a search is created with; it never changes. */
const searchSetupSchema = z.strictObject({
  searchId: searchIdSchema,
  createdAtMs: z.int(),
  config: searchConfigSchema,
  space: spaceConfigSchema,
  /** The pinned table without its entries: those that matter are in `latency`. */
  table: latencyTableSchema.omit({ entries: true }).extend({ version: tableVersionSchema }),
  latency: z.strictObject({ fixedMs: z.number(), operationMs: z.array(z.array(z.number())) }),
  /** What of `latency` was not measured but predicted, [block][operation]; left out where everything was measured. */
  predicted: z
    .strictObject({ count: z.int().min(1), rmseMs: z.number(), mapePct: z.number(), operations: z.array(z.array(z.boolean())) })
    .optional(),
})
type SearchSetup = z.infer<typeof searchSetupSchema>

/** `steps`: weight steps of the task itself, or, for the other kinds, those done before it. */
const recentSchema = z.strictObject({ atMs: z.int(), loss: z.number(), correct: z.int(), images: z.int(), steps: z.int() })

/** Everything that changes with a result or a command, in one row. `strategy` belongs to the strategy. */
const searchStateSchema = z.strictObject({
  strategy: z.unknown(),
  intent: z.enum(['running', 'paused', 'stopped']),
  startedAtMs: z.int().nullable(),
  finishedAtMs: z.int().nullable(),
  datasetFingerprint: z.string().nullable(),
  counts: z.strictObject({
    created: count,
    done: count,
    stale: count,
    expiredLeases: count,
    duplicates: count,
    agents: count,
  }),
  recent: z.strictObject({
    trainWeights: z.array(recentSchema),
    gateGradients: z.array(recentSchema),
    evaluatePaths: z.array(recentSchema),
  }),
})
type SearchState = z.infer<typeof searchStateSchema>
type Recent = z.infer<typeof recentSchema>

const outstandingTaskSchema = z.strictObject({
  taskId: z.int(),
  work: taskWorkSchema,
  /** The strategy's own, beside the work. */
  private: z.unknown().optional(),
  /** Null while the task waits to be handed out again. */
  lease: z
    .strictObject({
      leaseId: z.string(),
      agentId: z.string(),
      expiresAtMs: z.int(),
      /** Absent in leases from before there were rounds. */
      leasedAtMs: z.int().optional(),
    })
    .nullable(),
})
type OutstandingTask = z.infer<typeof outstandingTaskSchema>

const agentRecordSchema = z.strictObject({
  agentId: z.string(),
  name: z.string(),
  device: z.string(),
  backend: z.string(),
  registeredAtMs: z.int(),
  lastSeenAtMs: z.int(),
  tasksDone: count,
  duplicates: count,
  refusedPushes: count,
  trainMs: z.number(),
  idleMs: z.number(),
  imagesPerSecond: z.number().nullable(),
  peakBytes: z.number().nullable().default(null),
  /** Absent in records from before there were lanes: 1. */
  lanes: z.int().min(1).optional(),
  /** Whether it has asked for work: one that only registered has no seat in a round. */
  asked: z.boolean().optional(),
  /** Of its last weight tasks in rounds, smoothed. */
  exchangeMs: z.number().optional(),
  // Records that were stored before these were counted have none.
  steps: count.default(0),
  bytesSent: count.default(0),
  bytesReceived: count.default(0),
})
type AgentRecord = z.infer<typeof agentRecordSchema>

type SearchStore = {
  /** Runs `body`; if it throws, nothing that it wrote remains. */
  transaction<T>(body: () => T): T
  readSetup(): SearchSetup | null
  writeSetup(setup: SearchSetup): void
  readState(): SearchState
  writeState(state: SearchState): void
  /** Tasks without a result, oldest first. At most tasks.maxOutstanding. */
  outstandingTasks(): readonly OutstandingTask[]
  writeOutstanding(task: OutstandingTask): void
  removeOutstanding(taskId: number): void
  readAgent(agentId: string): AgentRecord | null
  writeAgent(agent: AgentRecord): void
  agents(): readonly AgentRecord[]
  appendLog(entry: LogEntry): void
  /** Entries with seq above `after`, in order; at most `limit`, and fewer where they are large, but never none of some. */
  readLog(after: number, limit: number): readonly LogEntry[]
  /** Metrics of applied results with seq above `after`, at most `limit`, in order. */
  readMetrics(after: number, limit: number): readonly Metric[]
}

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
  type SearchStore,
}
