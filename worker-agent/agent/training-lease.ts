// The lease of a training while it is held: kept alive by heartbeats, and asked for again when it has ended. An agent that
// was cut off for longer than a lease lasts goes on where it is if nobody has trained meanwhile: what it has is what the
// next agent would train.

import type { TrainingLeaseRequest, TrainingLeaseResponse, TrainingProgress, TrainingUploadEnd } from '../../coordinator/protocol/index.ts'
import { CoordinatorError, isPassing } from '../client/requests.ts'
import type { TrainingClient } from '../client/training-client.ts'

/** Two heartbeats may get lost before a lease ends. */
const HEARTBEATS_PER_LEASE = 3

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
  /** Gives the lease back; one that cannot be ends by itself. */
  release(): Promise<void>
}

function holdTrainingLease(client: TrainingClient, request: TrainingLeaseRequest, granted: Granted): TrainingLease {
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
      return fail(new LeaseLostError(answer.kind === 'ended' ? 'the training has ended' : 'another agent has gone on with the training'))
    }
    leaseId = answer.leaseId
  }
  const regainOnce = (ended: string): Promise<void> => {
    if (ended !== leaseId) return regaining ?? Promise.resolve()
    regaining ??= regain().finally(() => (regaining = null))
    return regaining
  }

  const beat = async () => {
    const used = leaseId
    try {
      if ((await client.heartbeat({ leaseId: used, progress })) === 'lost') await regainOnce(used)
    } catch (error) {
      // What may pass is tried again by the next beat; a training that was deleted need not be gone on with.
      if (error instanceof CoordinatorError && !isPassing(error)) fail(error)
    }
  }
  const timer = setInterval(() => void beat(), granted.spec.leaseMs / HEARTBEATS_PER_LEASE)

  return {
    lost: lost.signal,
    report(now) {
      const isFirst = progress === undefined
      progress = now
      if (isFirst) void beat()
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
      clearInterval(timer)
    },
    async release() {
      await client.release(leaseId).catch(() => undefined)
    },
  }
}

export { type Granted, holdTrainingLease, LeaseLostError, type TrainingLease }
