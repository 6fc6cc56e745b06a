// Snapshots of a search: when there is one, and what it holds of the search itself. Of the weights each shard keeps its own, under the same
// number. An agent pushes before it submits. So a shard that takes its snapshot after the search did, and before another task is handed out, has
// the pushes of all tasks that had results by then, and of those that were out some or none; which ones it knows. The caller sees to that order.

import {
  DEFAULT_SNAPSHOTS,
  MAX_ROW_BYTES,
  MIN_SNAPSHOT_RESULTS,
  ProblemError,
  type Snapshot,
  SNAPSHOT_BYTES,
  SNAPSHOT_SHARE,
} from '../../protocol/index.ts'
import { lastSeq } from './log.ts'
import type { OpenSearch } from './open.ts'
import type { SearchStore } from './store.ts'
import type { SearchState, SnapshotEntry, StoredSnapshot } from './stored.ts'

/** After one that came to nothing. */
const RETRY_MS = 60_000
/** Of a part: in UTF-8 it fits a row whatever its characters are. An entry beyond this is a row elsewhere, so it fits one as well. */
const PART_CHARACTERS = Math.floor(MAX_ROW_BYTES / 3)
/** Rows of a strategy that are read in one go. */
const SCANNED_ROWS = 100

type Snapshots = NonNullable<SearchState['snapshots']>

const NO_SNAPSHOTS: Snapshots = { last: 0, steps: 0, results: 0, dueAtMs: null }

/** What the state says of snapshots after a result that brought the search to `steps`. */
function withDueSnapshot(
  { setup }: OpenSearch,
  { snapshots = NO_SNAPSHOTS, counts }: Pick<SearchState, 'snapshots' | 'counts'>,
  steps: { readonly done: number; readonly total: number },
  nowMs: number,
): Pick<SearchState, 'snapshots'> {
  const { everySteps } = setup.config.snapshots ?? {}
  const every = everySteps ?? Math.ceil(SNAPSHOT_SHARE * steps.total)
  const leastResults = everySteps === undefined ? MIN_SNAPSHOT_RESULTS : 1
  const isDue = everySteps !== 0 && steps.done - snapshots.steps >= every && lastSeq(counts) - snapshots.results >= leastResults
  return isDue && snapshots.dueAtMs === null ? { snapshots: { ...snapshots, dueAtMs: nowMs } } : {}
}

/** When the next snapshot is to be taken; null while none is due. */
function snapshotDueAtMs({ store }: OpenSearch): number | null {
  const { snapshots = NO_SNAPSHOTS, finishedAtMs, isRollingBack } = store.readState()
  return finishedAtMs === null && !isRollingBack ? snapshots.dueAtMs : null
}

/** How many are kept: fewer where they are large, and nobody has said how many. */
function mostKept({ setup, store }: OpenSearch): number {
  const bytes = store.snapshots().at(-1)?.bytes ?? 0
  return setup.config.snapshots?.keep ?? Math.max(1, Math.min(DEFAULT_SNAPSHOTS, Math.floor(SNAPSHOT_BYTES / bytes)))
}

function* contentOf(store: SearchStore): Generator<SnapshotEntry> {
  yield { kind: 'state', state: store.readState() }
  for (const task of store.outstandingTasks()) yield { kind: 'task', task }
  let last = ''
  for (;;) {
    const rows = store.rows.scan('', last, SCANNED_ROWS)
    for (const { key, value } of rows) yield { kind: 'row', key, value }
    if (rows.length < SCANNED_ROWS) return
    last = rows.at(-1)?.key ?? last
  }
}

/** JSON lists of the entries, as few as fit rows. */
function* packed(entries: Iterable<SnapshotEntry>): Generator<string> {
  let texts: string[] = []
  let characters = 0
  for (const entry of entries) {
    const text = JSON.stringify(entry)
    if (texts.length > 0 && characters + text.length > PART_CHARACTERS) {
      yield `[${texts.join(',')}]`
      texts = []
      characters = 0
    }
    texts.push(text)
    characters += text.length
  }
  yield `[${texts.join(',')}]`
}

/**
 * Stores what the search itself has now; no snapshot is listed before `completeSnapshot`. The oldest make room for it. Throws ProblemError
 * `conflict` while the search is being taken back, or was stopped.
 *
 * @param forms of what is stored, by the number of their migrations
 * @returns its number, and those of the snapshots that stay beside it
 */
function beginSnapshot(
  search: OpenSearch,
  forms: StoredSnapshot['forms'],
  nowMs: number,
): { readonly number: number; readonly keep: number[] } {
  const { store, strategy, context } = search
  return store.transaction(() => {
    const state = store.readState()
    if (state.isRollingBack) throw new ProblemError('conflict', 'this search is being taken back to a snapshot; wait until it is')
    if (state.intent === 'stopped') throw new ProblemError('conflict', 'this search was stopped: it cannot be taken back to anything')
    const known = store.snapshots()
    const surplus = known.slice(0, Math.max(0, known.length + 1 - mostKept(search)))
    for (const { number } of surplus) store.removeSnapshot(number)
    const { snapshots = NO_SNAPSHOTS, counts } = state
    const number = snapshots.last + 1
    const { done: steps } = strategy.describe(state.strategy, context).steps
    let bytes = 0
    let part = 0
    for (const text of packed(contentOf(store))) {
      store.writeSnapshotPart(number, part++, text)
      bytes += text.length
    }
    store.writeSnapshot({ number, atMs: nowMs, steps, results: lastSeq(counts), bytes, forms, isComplete: false })
    store.writeState({ ...state, snapshots: { ...snapshots, last: number } })
    return { number, keep: known.slice(surplus.length).map((kept) => kept.number) }
  })
}

/** Once all shards have theirs. */
function completeSnapshot({ store }: OpenSearch, number: number, shardBytes: number): Snapshot {
  return store.transaction(() => {
    const snapshot = store.snapshots().find((candidate) => candidate.number === number)
    if (!snapshot) throw new ProblemError('not-found', `snapshot ${number} was given up meanwhile`)
    const complete = { ...snapshot, bytes: snapshot.bytes + shardBytes, isComplete: true }
    const { steps, results } = complete
    store.writeSnapshot(complete)
    const state = store.readState()
    const { last } = state.snapshots ?? NO_SNAPSHOTS
    store.writeState({ ...state, snapshots: { last, steps, results, dueAtMs: null } })
    return summaryOf(complete)
  })
}

/** Forgets one that was begun. */
function abandonSnapshot({ store }: OpenSearch, number: number): void {
  store.transaction(() => store.removeSnapshot(number))
}

/** After one that was due came to nothing: it is due again after a while. */
function postponeSnapshot({ store }: OpenSearch, nowMs: number): void {
  const state = store.readState()
  const { snapshots = NO_SNAPSHOTS } = state
  if (snapshots.dueAtMs !== null) store.writeState({ ...state, snapshots: { ...snapshots, dueAtMs: nowMs + RETRY_MS } })
}

/** Removes what a search cannot be taken back to: snapshots that were cut off, or have rows of another form. For when it is opened. */
function dropUnusableSnapshots(store: SearchStore, forms: StoredSnapshot['forms']): void {
  const isUsable = (snapshot: StoredSnapshot) =>
    snapshot.isComplete && snapshot.forms.search === forms.search && snapshot.forms.shards === forms.shards
  const unusable = store.snapshots().filter((snapshot) => !isUsable(snapshot))
  if (unusable.length === 0) return
  store.transaction(() => {
    for (const { number } of unusable) store.removeSnapshot(number)
  })
}

function summaryOf({ number, atMs, steps, results, bytes }: StoredSnapshot): Snapshot {
  return { number, atMs, steps, results, bytes }
}

/** What the search can be taken back to, oldest first. */
function listSnapshots({ store }: OpenSearch): Snapshot[] {
  return store
    .snapshots()
    .filter(({ isComplete }) => isComplete)
    .map(summaryOf)
}

export {
  abandonSnapshot,
  beginSnapshot,
  completeSnapshot,
  dropUnusableSnapshots,
  listSnapshots,
  NO_SNAPSHOTS,
  postponeSnapshot,
  snapshotDueAtMs,
  withDueSnapshot,
}
