// A search taken back to a snapshot. First the search itself, in one transaction: from then on no lease of before counts, and none is given until
// all shards are back too. What happened since stays in the log, marked, and in the records of the agents. Numbers of tasks, results,
// snapshots and rollbacks go on: none is used twice.

import * as z from 'zod'
import { ProblemError, type Rollback } from '../../protocol/index.ts'
import { describeFirst, readStored, unreadable } from '../stored/stored-form.ts'
import { lastSeq, replay } from './log.ts'
import type { OpenSearch } from './open.ts'
import { listSnapshots, NO_SNAPSHOTS } from './snapshots.ts'
import type { SearchStore } from './store.ts'
import { type OutstandingTask, type SearchState, type SnapshotEntry, snapshotEntrySchema } from './stored.ts'
import { dropAllCheckpoints } from './trial-files.ts'

/** Those that are told of: a person has looked at each. */
const KEPT_ROLLBACKS = 20
/** Rows of a strategy that are deleted in one go. */
const DELETED_ROWS = 100

/** How often the search was taken back. */
function rollbacksOf({ rollbacks = [] }: SearchState): number {
  return rollbacks.at(-1)?.number ?? 0
}

function* readContent(store: SearchStore, number: number): Generator<SnapshotEntry> {
  let part = 0
  for (const text of store.readSnapshotParts(number)) {
    yield* readStored(z.array(snapshotEntrySchema), text, `snapshot ${number}, part ${part++}`)
  }
}

/** Nobody has it any more, and whoever had it delivers in vain. */
function requeued(task: OutstandingTask): OutstandingTask {
  return { ...task, lease: null, ended: [], isRequeued: true }
}

function deleteRows({ rows }: SearchStore): void {
  for (;;) {
    const page = rows.scan('', '', DELETED_ROWS)
    for (const { key } of page) rows.delete(key)
    if (page.length < DELETED_ROWS) return
  }
}

/** Puts tasks and rows back, and returns the state that was in the snapshot. */
function restore(store: SearchStore, number: number): SearchState {
  let restored: SearchState | null = null
  for (const { taskId } of store.outstandingTasks()) store.removeOutstanding(taskId)
  deleteRows(store)
  for (const entry of readContent(store, number)) {
    if (entry.kind === 'state') restored = entry.state
    else if (entry.kind === 'task') store.writeOutstanding(requeued(entry.task))
    else store.rows.put(entry.key, entry.value)
  }
  if (!restored) throw unreadable(`snapshot ${number}`, 'it has no state')
  return restored
}

/** What the strategy was at, without results that alpha was rebuilt without since. */
function strategyStateOf(search: OpenSearch, then: SearchState, now: SearchState): unknown {
  const { strategy } = search
  const parsed = strategy.stateSchema.safeParse(then.strategy)
  if (!parsed.success) throw unreadable('the snapshot, strategy', describeFirst(parsed.error))
  const isAsThen = (then.exclusions ?? 0) === (now.exclusions ?? 0)
  return isAsThen || !strategy.relearnt ? parsed.data : strategy.relearnt(parsed.data, replay(search))
}

/**
 * Takes the search itself back, paused; its shards follow, and `endRollback` says when they all are. The same again while they are not changes
 * nothing. Throws ProblemError `conflict` for a search that was stopped, or is being taken back to another snapshot, `not-found` where
 * there is no such snapshot.
 */
function beginRollback(search: OpenSearch, number: number, nowMs: number): Rollback {
  const { store } = search
  return store.transaction(() => {
    const now = store.readState()
    const last = now.rollbacks?.at(-1)
    if (now.isRollingBack && last?.snapshot === number) return last
    if (now.isRollingBack)
      throw new ProblemError('conflict', `this search is being taken back to snapshot ${last?.snapshot}; wait until it is`)
    if (now.intent === 'stopped') throw new ProblemError('conflict', 'this search is stopped; it cannot be taken back')
    const known = listSnapshots(search)
    const snapshot = known.find((candidate) => candidate.number === number)
    if (!snapshot) {
      const there = known.length === 0 ? 'there are none yet' : `there are ${known.map((other) => other.number).join(', ')}`
      throw new ProblemError('not-found', `this search has no snapshot ${number}: ${there}`, [
        { path: 'snapshot', message: 'unknown snapshot' },
      ])
    }
    const { results, steps } = snapshot
    const end = lastSeq(now.counts)
    const rollback: Rollback = { number: rollbacksOf(now) + 1, snapshot: number, atMs: nowMs, steps, results: 0 }
    store.markRolledBack(results, rollback.number)
    const then = restore(store, number)
    dropAllCheckpoints(store)
    for (const later of known) if (later.number > number) store.removeSnapshot(later.number)
    const { done, stale, failed } = then.counts
    const rolledBack = end - (done + stale + failed)
    const told: Rollback = { ...rollback, results: rolledBack - (now.counts.rolledBack ?? 0) }
    store.writeState({
      ...now,
      strategy: strategyStateOf(search, then, now),
      intent: 'paused',
      finishedAtMs: null,
      counts: { ...now.counts, done, stale, failed, rolledBack },
      lastFailure: then.lastFailure,
      failuresInARow: 0,
      gateSizes: then.gateSizes,
      recent: then.recent,
      snapshots: { last: now.snapshots?.last ?? NO_SNAPSHOTS.last, steps, results: end, dueAtMs: null },
      rollbacks: [...(now.rollbacks ?? []), told].slice(-KEPT_ROLLBACKS),
      isRollingBack: true,
    })
    return told
  })
}

/** All shards are back: tasks may be handed out again, once the search is resumed. */
function endRollback({ store }: OpenSearch): void {
  const { isRollingBack: _, ...state } = store.readState()
  store.writeState(state)
}

/** The rollback that shards have yet to follow. */
function pendingRollback({ store }: OpenSearch): Rollback | null {
  const { isRollingBack, rollbacks } = store.readState()
  return isRollingBack ? (rollbacks?.at(-1) ?? null) : null
}

export { beginRollback, endRollback, pendingRollback, rollbacksOf }
