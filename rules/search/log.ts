// The log of a search as what its alpha follows from. What was taken back by a rollback is in it, and counts no more.

import { type LogEntry, MAX_METRICS_PAGE, outcomeOf } from '../../protocol/index.ts'
import { rowsOver } from '../../strategies/index.ts'
import type { OpenSearch } from './open.ts'
import type { SearchState } from './stored.ts'

/** Number of the last entry. */
function lastSeq({ done, stale, failed, rolledBack = 0 }: SearchState['counts']): number {
  return done + stale + failed + rolledBack
}

/** Entries that count, from the beginning, a page at a time. */
function* readCounted({ store }: OpenSearch): Generator<LogEntry> {
  let last = 0
  for (;;) {
    const page = store.readLog(last, MAX_METRICS_PAGE)
    if (page.length === 0) return
    yield* page.filter(({ rolledBack }) => rolledBack === undefined)
    last = page.at(-1)?.seq ?? last
  }
}

/** What the strategy comes to by the log. */
function replay(search: OpenSearch, change: (entry: LogEntry) => LogEntry = (entry) => entry): unknown {
  const { strategy } = search
  const context = { ...search.context, rows: rowsOver(new Map()) }
  let state = strategy.init(context)
  for (const entry of readCounted(search)) state = strategy.absorb(state, entry, outcomeOf(change(entry)), context).state
  return state
}

export { lastSeq, readCounted, replay }
