// Alpha without what should not have moved it: the log is replayed, and results of an agent, or of a range, are told to the strategy as failures.
// What weights have learnt stays. Excluded results stay in the log, marked as such, so that a replay comes to the same alpha ever after.

import { type LogEntry, ProblemError, type RebuildRequest, type Rebuilt, trainsWeights } from '../../protocol/index.ts'
import { readCounted, replay } from './log.ts'
import type { OpenSearch } from './open.ts'

/**
 * Rebuilds alpha without some results that steps of weights do not depend on. Throws ProblemError `conflict` for a strategy that
 * has no alpha, and where the log does not come to the alpha that there is; nothing has changed then.
 */
function rebuildAlpha(search: OpenSearch, { agentId, from = 1, to = Number.MAX_SAFE_INTEGER }: RebuildRequest): Rebuilt {
  const { store, strategy, context } = search
  const { relearnt } = strategy
  if (!relearnt) throw new ProblemError('conflict', 'the strategy of this search has no alpha that could be rebuilt')
  return store.transaction(() => {
    const state = store.readState()
    const alphaOf = (strategyState: unknown) => {
      const { view } = strategy.describe(strategyState, context)
      return view.kind === 'distribution' ? { alpha: view.alpha, alphaVersion: view.alphaVersion } : null
    }
    const before = alphaOf(state.strategy)
    if (JSON.stringify(alphaOf(replay(search))) !== JSON.stringify(before)) {
      throw new ProblemError('conflict', 'the log of this search does not come to its alpha: it cannot be rebuilt from it')
    }
    const isExcluded = (entry: LogEntry) =>
      entry.outcome !== 'failed' &&
      !trainsWeights(entry.work) &&
      (agentId === undefined || entry.agentId === agentId) &&
      entry.seq >= from &&
      entry.seq <= to
    const exclude = (entry: LogEntry): LogEntry => (entry.outcome !== 'failed' && isExcluded(entry) ? { ...entry, excluded: true } : entry)
    const next = relearnt(state.strategy, replay(search, exclude))
    let excluded = 0
    for (const entry of readCounted(search)) {
      if (entry.outcome === 'failed' || entry.excluded || !isExcluded(entry)) continue
      store.replaceLog(exclude(entry))
      excluded += 1
    }
    store.writeState({ ...state, strategy: next, exclusions: (state.exclusions ?? 0) + excluded })
    return { excluded, alphaVersion: alphaOf(next)?.alphaVersion ?? 0 }
  })
}

export { rebuildAlpha }
