// What the rules of a search keep, and the small interface they keep it through. Two implementations (in memory, and SQL
// in a Durable Object) pass the same conformance suite.

import type { LogEntry, Metric } from '../../protocol/index.ts'
import type { StrategyRows } from '../../strategies/index.ts'
import type { BlobStore } from '../network-files/parts.ts'
import type { AgentRecord, OutstandingTask, SearchSetup, SearchState, StoredSnapshot, TrialFiles } from './stored.ts'

type SearchStore = BlobStore & {
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
  /** Of trials that have any, by number. */
  trialFiles(): readonly TrialFiles[]
  writeTrialFiles(files: TrialFiles): void
  removeTrialFiles(trial: number): void
  readAgent(agentId: string): AgentRecord | null
  writeAgent(agent: AgentRecord): void
  removeAgent(agentId: string): void
  agents(): readonly AgentRecord[]
  appendLog(entry: LogEntry): void
  /** In place of the entry with the same seq. */
  replaceLog(entry: LogEntry): void
  /** Entries with seq above `after`, in order; at most `limit`, and fewer where they are large, but never none of some. */
  readLog(after: number, limit: number): readonly LogEntry[]
  /** Marks entries with seq above `after` as taken back by a rollback, unless an earlier one did. */
  markRolledBack(after: number, rollback: number): void
  /** By number. */
  snapshots(): readonly StoredSnapshot[]
  /** In place of the one with the same number. */
  writeSnapshot(snapshot: StoredSnapshot): void
  /** With its parts. */
  removeSnapshot(number: number): void
  /** Parts of a snapshot's content, each a JSON text that fits a row, numbered from 0. */
  writeSnapshotPart(number: number, part: number, text: string): void
  readSnapshotParts(number: number): Iterable<string>
  /** The strategy's own. */
  readonly rows: StrategyRows
  /** Metrics of applied results that count, with seq above `after`, at most `limit`, in order. */
  readMetrics(after: number, limit: number): readonly Metric[]
}

export type { SearchStore }
