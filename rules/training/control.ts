// What people may tell a training.

import { ProblemError, type TrainingPhase } from '../../protocol/index.ts'
import { endOf, type OpenTraining, withoutLease } from './rules.ts'
import { phaseOf } from './status.ts'

/**
 * Pauses, resumes or stops. A pause lets the agent that has the training come to its next checkpoint; a stop takes it away. Whatever has
 * ended without a network can be resumed from its last checkpoint, what agents said of it forgotten. Throws ProblemError `conflict` where it
 * has ended.
 */
function commandTraining({ store }: OpenTraining, command: 'pause' | 'resume' | 'stop', nowMs: number): TrainingPhase {
  return store.transaction(() => {
    const state = store.readState()
    const end = endOf(state)
    if (end === 'finished' || (end !== null && command === 'pause')) {
      if (command === 'stop') return end
      throw new ProblemError('conflict', `this training has ${end === 'stopped' ? 'been stopped' : end}; it cannot ${command}`)
    }
    const { intent: _, ...going } = state
    if (command === 'pause') store.writeState({ ...going, intent: 'paused' })
    if (command === 'resume') store.writeState({ ...going, faults: [], ...(end !== null && { result: null, finishedAtMs: null }) })
    if (command === 'stop' && end === null) {
      const free = going.lease ? withoutLease(store, going, 'stopped') : going
      store.writeState({ ...free, intent: 'stopped', finishedAtMs: nowMs })
    }
    return phaseOf(store.readState())
  })
}

export { commandTraining }
