// The lease of a training while it is held: kept alive by heartbeats, and asked for again when it has ended. An agent that
// was cut off for longer than a lease lasts goes on where it is if nobody has trained meanwhile: what it has is what the
// next agent would train.

import type {
  TrainingHeartbeat,
  TrainingLeaseRequest,
  TrainingLeaseResponse,
  TrainingProgress,
  TrainingUploadEnd,
} from '../../protocol/index.ts'
import { CoordinatorError, isPassing } from '../client/requests.ts'
import type { TrainingClient } from '../client/training-client.ts'
import type { Heartbeats } from './heartbeats.ts'

type Granted = Extract<TrainingLeaseResponse, { kind: 'lease' }>

/** Another agent has the training, or it has ended. */
class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
  readonly code = 'lease-lost'
}

type TrainingLease = {
  /** Aborted with LeaseLostError, or with the CoordinatorError of a coordinator that refuses for good. */
  readonly lost: AbortSignal
  /** What the next heartbeats say. */
  report(progress: TrainingProgress): void
  /** Delivers something under the lease, a new one if need be. Throws the reason of `lost`. */
  deliver(upload: (leaseId: string) => Promise<TrainingUploadEnd['kind']>): Promise<void>
  /** That a checkpoint of this step is stored. */
  saved(step: number): void
  /** No more heartbeats. */
  close(): void
  /** Gives the lease back, with what went wrong if anything did; one that cannot be ends by itself. */
  release(failure?: string): Promise<void>
}

function lossText(answer: TrainingLeaseResponse): string {
  if (answer.kind === 'ended') return 'the training has ended'
  if (answer.kind === 'wait' && answer.reason === 'paused') return 'the training was paused'
  return 'another agent has gone on with the training'
}

/** Closes `heartbeats` at the end. */
function holdTrainingLease(
  client: TrainingClient,
  request: TrainingLeaseRequest,
  granted: Granted,
  heartbeats: Heartbeats<TrainingHeartbeat>,
): TrainingLease {
  const lost = new AbortController()
  let { leaseId } = granted
  let storedStep = granted.checkpointStep
  let progress: TrainingProgress | undefined
  let regaining: Promise<void> | null = null

  const fail = (error: unknown) => lost.abort(error)

  /** A new lease in place of the one that has ended, if the coordinator has no other checkpoint than the one known here. */
  const regain = async () => {
    const answer = await client.lease(request)
    if (answer.kind !== 'lease' || answer.checkpointStep !== storedStep) {
      return fail(new LeaseLostError(lossText(answer)))
    }
    heartbeats.drop({ leaseId })
    leaseId = answer.leaseId
    hold()
  }
  const regainOnce = (ended: string): Promise<void> => {
    if (ended !== leaseId) return regaining ?? Promise.resolve()
    regaining ??= regain().finally(() => (regaining = null))
    return regaining
  }

  /** What may pass is tried again by the next heartbeat; a training that was deleted need not be gone on with. */
  const failFor = (error: unknown) => {
    if (error instanceof CoordinatorError && !isPassing(error)) fail(error)
  }
  const hold = () => {
    const used = leaseId
    heartbeats.hold({ leaseId: used, progress }, granted.spec.leaseMs, () => void regainOnce(used).catch(failFor), failFor)
  }
  const beatOnce = async () => {
    const used = leaseId
    if ((await client.heartbeat({ leaseId: used, progress })) === 'lost') await regainOnce(used)
  }
  hold()

  return {
    lost: lost.signal,
    report(now) {
      const isFirst = progress === undefined
      progress = now
      hold()
      if (isFirst) beatOnce().catch(failFor)
    },
    async deliver(upload) {
      for (;;) {
        lost.signal.throwIfAborted()
        const used = leaseId
        if ((await upload(used)) !== 'lost') return
        await regainOnce(used)
      }
    },
    saved(step) {
      storedStep = step
    },
    close() {
      heartbeats.close()
    },
    async release(failure) {
      await client.release(leaseId, failure).catch(() => undefined)
    },
  }
}

export { type Granted, holdTrainingLease, LeaseLostError, type TrainingLease }
