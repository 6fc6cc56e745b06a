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
  releaseResponseSchema,
  type SubmitRequest,
  submitRequestSchema,
  type SubmitResponse,
  submitResponseSchema,
  versionsSchema,
} from './agents.ts'
export { type Caller, parseAgentToken, printAgentToken, type TokenRecord } from './caller.ts'
export { agentIdSchema, createId, leaseIdSchema, searchIdSchema, taskIdSchema, tokenIdSchema } from './ids.ts'
export {
  MAX_AGENTS,
  MAX_ALPHA,
  MAX_JSON_BYTES,
  MAX_MAGNITUDE,
  MAX_METRICS_PAGE,
  MAX_ROW_BYTES,
  MAX_WEIGHTS_BYTES,
  SEGMENT_BYTES,
  WAIT_MS,
} from './limits.ts'
export { attempt, type Outcome, unwrap } from './outcome.ts'
export {
  fieldErrors,
  type FieldError,
  fieldPath,
  type Problem,
  type ProblemCode,
  problemDocument,
  ProblemError,
  problemKinds,
  problemSchema,
} from './problem.ts'
export { decodeSafetensors, type Dtype, encodeSafetensors, type SafetensorsFile, SafetensorsError, type Tensor } from './safetensors.ts'
export {
  type LatencyLoss,
  type ProxylessGradientConfig,
  type SearchConfig,
  type SearchConfigInput,
  searchConfigSchema,
  type TrainingConfig,
} from './search-config.ts'
export { planShards, type ShardPlan } from './shards.ts'
export {
  type Architecture,
  architectureSchema,
  createSearchResponseSchema,
  descriptionSchema,
  type LogEntry,
  logEntrySchema,
  type Metric,
  metricSchema,
  type Phase,
  phaseSchema,
  type SearchStatus,
  searchStatusSchema,
  type SearchSummary,
  searchSummarySchema,
  type TableSummary,
  tableSummarySchema,
  type TaskCounts,
} from './status.ts'
export { type ResultOf, type Task, type TaskKind, type TaskResult, taskResultSchema, taskSchema, type TaskWork, taskWorkSchema, type Timing } from './tasks.ts'
