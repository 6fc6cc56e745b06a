// Which data a search runs on. The first agent that registers binds it, unless its settings do; as long as no result is in, a person can set
// that right.

import { ProblemError } from '../../protocol/index.ts'
import type { OpenSearch } from './open.ts'
import { dropAllCheckpoints } from './trial-files.ts'

/**
 * Binds the search to data of this fingerprint; null: to those of the agent that registers next. Agents with other data are gone, and what
 * they had is handed out again. Throws ProblemError `conflict` where a result is in, or the search has ended.
 */
function bindDataset({ store }: OpenSearch, fingerprint: string | null): { datasetFingerprint: string | null } {
  return store.transaction(() => {
    const state = store.readState()
    const { done, stale } = state.counts
    if (done + stale > 0 || state.finishedAtMs !== null) {
      const why = state.finishedAtMs === null ? `has ${done + stale} results of the data that it is bound to` : 'has ended'
      throw new ProblemError('conflict', `this search ${why}; create another one for other data`, [
        { path: 'fingerprint', message: 'cannot be changed any more' },
      ])
    }
    if (state.datasetFingerprint === fingerprint) return { datasetFingerprint: fingerprint }
    for (const { agentId } of store.agents()) store.removeAgent(agentId)
    // Nobody who had them may deliver any more.
    for (const task of store.outstandingTasks()) store.writeOutstanding({ ...task, lease: null, ended: [] })
    dropAllCheckpoints(store)
    store.writeState({ ...state, datasetFingerprint: fingerprint })
    return { datasetFingerprint: fingerprint }
  })
}

export { bindDataset }
