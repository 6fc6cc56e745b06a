// Checkpoints of a trial between this agent and the coordinator. A trial is worth more than its checkpoint: where one cannot be read or
// stored, for whatever reason that is no end of the agent, the trial begins anew, with random weights, or goes on without.

import type { LeaseRef, Task } from '../../protocol/index.ts'
import { CheckpointError, decodeCheckpoint, encodeCheckpoint } from '../../engine/training/checkpoint.ts'
import type { TrialCheckpoints } from '../../engine/training/runners/train-architecture.ts'
import type { CoordinatorClient } from '../client/coordinator-client.ts'
import { CoordinatorError, isPassing } from '../client/requests.ts'

type Lease = { readonly ref: LeaseRef; isLost(): boolean }

/** Undefined for a task of which the coordinator keeps none. */
function checkpointsOf(
  client: Pick<CoordinatorClient, 'readCheckpoint' | 'storeCheckpoint'>,
  { taskId, checkpoint }: Task,
  lease: Lease,
  onNote: (line: string) => void,
): TrialCheckpoints | undefined {
  if (!checkpoint) return undefined
  /** Null once the coordinator takes no more of them. */
  let isTaken = true
  return {
    everyMs: checkpoint.everyMs,
    async read() {
      if (checkpoint.step === null) return null
      try {
        const found = decodeCheckpoint(await client.readCheckpoint(taskId))
        onNote(`task ${taskId}  goes on from step ${found.step}`)
        return found
      } catch (error) {
        if (!isRefusal(error) && !(error instanceof CheckpointError)) throw error
        onNote(`task ${taskId}  begins anew: ${error.message}`)
        return null
      }
    },
    async readParent() {
      try {
        return decodeCheckpoint(await client.readCheckpoint(taskId))
      } catch (error) {
        if (!isRefusal(error) && !(error instanceof CheckpointError)) throw error
        onNote(`task ${taskId}  cannot have the weights of another trial: ${error.message}`)
        return null
      }
    },
    async save(state) {
      if (!isTaken || lease.isLost()) return
      try {
        if ((await client.storeCheckpoint(lease.ref, encodeCheckpoint(state))) === 'lost') isTaken = false
      } catch (error) {
        if (!isRefusal(error)) throw error
        isTaken = false
        onNote(`task ${taskId}  goes on without checkpoints: ${error.message}`)
      }
    },
  }
}

/** Whether the coordinator has answered that it does not want this, and will answer so again. */
function isRefusal(error: unknown): error is CoordinatorError {
  return error instanceof CoordinatorError && !isPassing(error)
}

export { checkpointsOf }
