export { createSetup, startSearch } from './create.ts'
export {
  commandSearch,
  countRefusedPush,
  expireLeases,
  heartbeat,
  leaseTask,
  nextExpiryMs,
  type OpenSearch,
  openSearch,
  phaseOf,
  registerAgent,
  releaseLease,
  submitResult,
} from './rules.ts'
export { currentArchitecture, searchStatus, searchSummary } from './status.ts'
export type { SearchStore } from './store.ts'
export {
  type AgentRecord,
  agentRecordSchema,
  type OutstandingTask,
  outstandingTaskSchema,
  type SearchSetup,
  searchSetupSchema,
  type SearchState,
  searchStateSchema,
  storedLogEntrySchema,
  storedMetricSchema,
} from './stored.ts'
