export { createSetup, startSearch } from './create.ts'
export { bindDataset } from './data-binding.ts'
export { checkToken, countClipped, countRefusedPush, knownAgent } from './agents.ts'
export { registerAgent } from './registration.ts'
export { commandSearch, type OpenSearch, openSearch, phaseOf } from './open.ts'
export { submitResult } from './outcomes.ts'
export { rebuildAlpha } from './rebuild.ts'
export { lastSeq } from './log.ts'
export { beginRollback, endRollback, pendingRollback } from './rollback.ts'
export {
  abandonSnapshot,
  beginSnapshot,
  completeSnapshot,
  dropUnusableSnapshots,
  listSnapshots,
  postponeSnapshot,
  snapshotDueAtMs,
} from './snapshots.ts'
export { stallsAtMs } from './standing.ts'
export { pushRightOf } from './push-rights.ts'
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
  type StoredSnapshot,
  storedSnapshotSchema,
  type TrialFiles,
  trialFilesSchema,
} from './stored.ts'
export { readTrialCheckpoint, storeTrialCheckpoint } from './trial-checkpoints.ts'
export { expireLeases, heartbeat, leaseTask, nextExpiryMs, releaseLease } from './tasks.ts'
