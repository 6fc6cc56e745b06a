// Whether anybody works on a search, and with success: what it says of itself when nothing happens.

import { MAX_FAILURES_IN_A_ROW, MAX_PAUSED_WAIT_MS, type Phase } from '../../protocol/index.ts'
import { isSetAside } from './agents.ts'
import { type OpenSearch, phaseOf } from './open.ts'
import type { SearchState } from './stored.ts'

/** Agents that work are heard of many times as often; those of a search that was paused ask seldom, and a lease may be longer. */
const MIN_SILENCE_MS = MAX_PAUSED_WAIT_MS + 60_000

/** Whether task after task was given up: more of them would end the search with nothing learnt. */
function hasFailed({ failuresInARow = 0, finishedAtMs }: SearchState): boolean {
  return finishedAtMs === null && failuresInARow >= MAX_FAILURES_IN_A_ROW
}

function mostSilenceMs({ setup }: OpenSearch): number {
  return Math.max(MIN_SILENCE_MS, 2 * setup.config.tasks.leaseMs)
}

/** When a search will be called stalled unless an agent is heard of; null where it is already, or will not be. */
function stallsAtMs(search: OpenSearch, nowMs: number): number | null {
  const { intent, finishedAtMs } = search.store.readState()
  const seen = search.store.agents().map(({ lastSeenAtMs }) => lastSeenAtMs)
  if (intent !== 'running' || finishedAtMs !== null || seen.length === 0) return null
  const atMs = Math.max(...seen) + mostSilenceMs(search) + 1
  return atMs > nowMs ? atMs : null
}

/**
 * The phase as people see it, with the reason where it is one that they can do something about.
 *
 * @param nowMs left out: nothing is said of how long agents have been silent
 */
function standingOf(search: OpenSearch, state: SearchState, nowMs?: number): { readonly phase: Phase; readonly phaseReason?: string } {
  const phase = phaseOf(search, state)
  if (state.isRollingBack) {
    const number = state.rollbacks?.at(-1)?.snapshot
    return { phase, phaseReason: `it is being taken back to snapshot ${number}, and hands out nothing until all its shards are` }
  }
  const isOpen = state.intent === 'running' && state.finishedAtMs === null
  if (!isOpen) return { phase }
  if (hasFailed(state)) {
    const { lastFailure, failuresInARow = 0 } = state
    const why = lastFailure?.message ?? lastFailure?.reason ?? 'not known'
    return {
      phase: 'failed',
      phaseReason: `${failuresInARow} tasks in a row were given up, the last one for: ${why}; mend that, and resume the search`,
    }
  }
  const agents = search.store.agents()
  if (agents.length === 0) return { phase }
  const good = agents.filter((agent) => !isSetAside(agent))
  if (good.length === 0)
    return { phase: 'stalled', phaseReason: 'all agents are set aside, since their numbers were far off; start one on another machine' }
  const silentMs = (nowMs ?? 0) - Math.max(...good.map(({ lastSeenAtMs }) => lastSeenAtMs))
  if (silentMs <= mostSilenceMs(search)) return { phase }
  const minutes = Math.floor(silentMs / 60_000)
  return { phase: 'stalled', phaseReason: `no agent has been heard of for ${minutes} minutes; start one, with a token of this search` }
}

export { hasFailed, stallsAtMs, standingOf }
