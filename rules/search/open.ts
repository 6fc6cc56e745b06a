// A search opened for use, and what people may tell it.

import { type Phase, ProblemError } from '../../protocol/index.ts'
import { findStrategy, type RecordedCosts, type Strategy, type StrategyContext } from '../../strategies/index.ts'
import { describeFirst, unreadable } from '../stored/stored-form.ts'
import { strategyContext } from './create.ts'
import type { SearchStore } from './store.ts'
import type { SearchSetup, SearchState } from './stored.ts'
import { dropAllCheckpoints } from './trial-files.ts'

/** A search opened for use: its fixed parts, computed once. */
type OpenSearch = {
  readonly store: SearchStore
  readonly setup: SearchSetup
  readonly context: StrategyContext
  readonly strategy: Strategy<unknown>
}

/**
 * Null where no search has been created in this store. Throws ProblemError `unreadable`.
 *
 * @param given the strategy, where it is not the one that the settings name
 * @param recordedCosts where recorded trainings are simulated
 */
function openSearch(store: SearchStore, given?: Strategy<unknown>, recordedCosts?: RecordedCosts): OpenSearch | null {
  const setup = store.readSetup()
  if (!setup) return null
  const strategy = given ?? findStrategy(setup.config.strategy.name)
  const state = strategy.stateSchema.safeParse(store.readState().strategy)
  if (!state.success) throw unreadable('state, strategy', describeFirst(state.error))
  return { store, setup, context: strategyContext(setup, store.rows, recordedCosts), strategy }
}

function phaseOf(search: OpenSearch, state: SearchState): Phase {
  if (state.intent === 'stopped') return 'stopped'
  if (state.finishedAtMs !== null) return 'finished'
  if (state.intent === 'paused') return 'paused'
  return search.strategy.phase(state.strategy, search.context)
}

/** Pauses, resumes or stops. Stopping is final; a search that has ended stays as it is (ProblemError `conflict`). */
function commandSearch(search: OpenSearch, command: 'pause' | 'resume' | 'stop', nowMs: number): Phase {
  const { store } = search
  return store.transaction(() => {
    const state = store.readState()
    const phase = phaseOf(search, state)
    if (phase === 'finished' || phase === 'stopped') {
      if (command === 'stop') return phase
      throw new ProblemError('conflict', `this search is ${phase}; it cannot ${command}`)
    }
    const next: SearchState = {
      ...state,
      intent: command === 'pause' ? 'paused' : command === 'resume' ? 'running' : 'stopped',
      finishedAtMs: command === 'stop' ? nowMs : state.finishedAtMs,
      failuresInARow: 0,
    }
    store.writeState(next)
    if (command === 'stop') dropAllCheckpoints(store)
    return phaseOf(search, next)
  })
}

export { commandSearch, type OpenSearch, openSearch, phaseOf }
