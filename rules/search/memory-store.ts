// A search's store in memory, for tests and simulations of the rules. Values are copied in and out, as storage does.

import type { LogEntry } from '../../protocol/index.ts'
import { rowsOver, type StrategyRows } from '../../strategies/index.ts'
import { blobsOver } from '../network-files/memory-blobs.ts'
import type { SearchStore } from './store.ts'
import type { AgentRecord, OutstandingTask, SearchSetup, SearchState, StoredSnapshot, TrialFiles } from './stored.ts'

type Content = {
  setup: SearchSetup | null
  state: SearchState | null
  outstanding: Map<number, OutstandingTask>
  agents: Map<string, AgentRecord>
  log: LogEntry[]
  /** JSON texts. */
  rows: Map<string, string>
  trialFiles: Map<number, TrialFiles>
  blobs: Map<number, Uint8Array<ArrayBuffer>>
  snapshots: Map<number, StoredSnapshot>
  snapshotParts: Map<number, readonly string[]>
}

/** @param copies whether values are copied in and out: simulations, which change none, do without */
function createMemoryStore({ copies = true } = {}): SearchStore {
  const copy = <T>(value: T): T => (copies ? structuredClone(value) : value)
  let content: Content = {
    setup: null,
    state: null,
    outstanding: new Map(),
    agents: new Map(),
    log: [],
    rows: new Map(),
    trialFiles: new Map(),
    blobs: new Map(),
    snapshots: new Map(),
    snapshotParts: new Map(),
  }
  const rows = (): StrategyRows => rowsOver(content.rows)
  return {
    transaction(body) {
      // Values are never changed in place, so that keeping the containers is enough.
      const { setup, state, log } = content
      const before = {
        setup,
        state,
        outstanding: new Map(content.outstanding),
        agents: new Map(content.agents),
        rows: new Map(content.rows),
        trialFiles: new Map(content.trialFiles),
        blobs: new Map(content.blobs),
        snapshots: new Map(content.snapshots),
        snapshotParts: new Map(content.snapshotParts),
      }
      const logged = log.length
      try {
        return body()
      } catch (error) {
        log.length = logged
        content = { ...before, log }
        throw error
      }
    },
    readSetup: () => copy(content.setup),
    writeSetup(setup) {
      content.setup = copy(setup)
    },
    readState() {
      if (!content.state) throw new Error('the search has not been created')
      return copy(content.state)
    },
    writeState(state) {
      content.state = copy(state)
    },
    outstandingTasks: () => copy([...content.outstanding.values()].toSorted((a, b) => a.taskId - b.taskId)),
    writeOutstanding(task) {
      content.outstanding.set(task.taskId, copy(task))
    },
    removeOutstanding(taskId) {
      content.outstanding.delete(taskId)
    },
    trialFiles: () => copy([...content.trialFiles.values()].toSorted((a, b) => a.trial - b.trial)),
    writeTrialFiles(files) {
      content.trialFiles.set(files.trial, copy(files))
    },
    removeTrialFiles(trial) {
      content.trialFiles.delete(trial)
    },
    writeBlob: (...blob) => blobsOver(content.blobs).writeBlob(...blob),
    readBlob: (...blob) => blobsOver(content.blobs).readBlob(...blob),
    deleteBlob: (...blob) => blobsOver(content.blobs).deleteBlob(...blob),
    readAgent: (agentId) => copy(content.agents.get(agentId) ?? null),
    writeAgent(agent) {
      content.agents.set(agent.agentId, copy(agent))
    },
    removeAgent(agentId) {
      content.agents.delete(agentId)
    },
    agents: () => copy([...content.agents.values()]),
    appendLog(entry) {
      content.log.push(copy(entry))
    },
    replaceLog(entry) {
      // Another list: a transaction that fails goes back to the one before.
      content.log = content.log.map((before) => (before.seq === entry.seq ? copy(entry) : before))
    },
    markRolledBack(after, rollback) {
      content.log = content.log.map((entry) =>
        entry.seq > after && entry.rolledBack === undefined ? { ...entry, rolledBack: rollback } : entry,
      )
    },
    snapshots: () => copy([...content.snapshots.values()].toSorted((a, b) => a.number - b.number)),
    writeSnapshot(snapshot) {
      content.snapshots.set(snapshot.number, copy(snapshot))
    },
    removeSnapshot(number) {
      content.snapshots.delete(number)
      content.snapshotParts.delete(number)
    },
    writeSnapshotPart(number, part, text) {
      content.snapshotParts.set(number, (content.snapshotParts.get(number) ?? []).toSpliced(part, 1, text))
    },
    readSnapshotParts: (number) => content.snapshotParts.get(number) ?? [],
    readLog: (after, limit) => copy(content.log.filter((entry) => entry.seq > after).slice(0, limit)),
    rows: {
      get: (key) => rows().get(key),
      put: (key, value) => rows().put(key, value),
      delete: (key) => rows().delete(key),
      scan: (prefix, after, limit) => rows().scan(prefix, after, limit),
    },
    readMetrics: (after, limit) =>
      content.log
        .flatMap((entry) =>
          entry.seq > after && entry.outcome === 'applied' && entry.metric && entry.rolledBack === undefined ? [copy(entry.metric)] : [],
        )
        .slice(0, limit),
  }
}

export { createMemoryStore }
