// The rules of a training: who has it, which checkpoint counts, how it ends. Pure but for the store: time and new ids are
// arguments.
//
// One agent at a time has the lease. A checkpoint is taken from it alone, and only one that is further than the one there
// is: whoever gets the lease next goes on from there, so that nothing before it is ever trained again. Reports come with
// the checkpoints, each once. A checkpoint takes the place of the one before in one transaction with the state that
// names it.

import {
  type EpochReport,
  ProblemError,
  type TrainingHeartbeat,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  type TrainingUpload,
} from '../protocol/index.ts'
import { describeNetwork, type NetworkShapes } from './create.ts'
import type { TrainingSetup, TrainingState, TrainingStore } from './store.ts'
import { readCheckpointUpload, readModelUpload } from './uploads.ts'
import type { Space } from '../../search-space/index.ts'

/** Leases that the status tells of. */
const KEPT_TRAINERS = 50
/** An agent that waits asks again after so long, or when the lease ends that it waits for. */
const MIN_WAIT_MS = 250
const MAX_WAIT_MS = 10_000

/** A training opened for use: its fixed parts, computed once. */
type OpenTraining = { readonly store: TrainingStore; readonly setup: TrainingSetup; readonly space: Space; readonly shapes: NetworkShapes }

type TrainerEnd = NonNullable<TrainingState['trainers'][number]['end']>

/** Null where no training has been created in this store. */
function openTraining(store: TrainingStore): OpenTraining | null {
  const setup = store.readSetup()
  return setup && { store, setup, ...describeNetwork(setup) }
}

/** The state without a lease; its last trainer is noted as having ended so. */
function withoutLease(state: TrainingState, end: TrainerEnd): TrainingState {
  const last = state.trainers.at(-1)
  return { ...state, lease: null, progress: null, trainers: [...state.trainers.slice(0, -1), ...(last ? [{ ...last, end }] : [])] }
}

/** Of the agent that has the lease; it has just been heard of. */
function withTrainer(state: TrainingState, change: Partial<TrainingState['trainers'][number]>): TrainingState {
  const last = state.trainers.at(-1)
  return last ? { ...state, trainers: [...state.trainers.slice(0, -1), { ...last, ...change }] } : state
}

/** Ends a lease whose time is over; whether there was one. */
function expireLease({ store }: OpenTraining, nowMs: number): boolean {
  const state = store.readState()
  if (!state.lease || state.lease.expiresAtMs > nowMs) return false
  const ended = withoutLease(state, 'expired')
  store.writeState({ ...ended, counts: { ...ended.counts, expiredLeases: ended.counts.expiredLeases + 1 } })
  return true
}

/** When the lease ends, or null where nobody has it. */
function leaseEndMs({ store }: OpenTraining): number | null {
  return store.readState().lease?.expiresAtMs ?? null
}

/** Throws ProblemError `dataset-mismatch`, naming both sides. */
function checkDataset({ setup, space }: OpenTraining, state: TrainingState, { dataset }: TrainingLeaseRequest): void {
  if (space.input.join() !== dataset.shape.join() || space.classes !== dataset.classes) {
    throw new ProblemError(
      'dataset-mismatch',
      `space ${space.name} takes ${space.input.join('×')} images of ${space.classes} classes, this agent's data ${dataset.name} has ${dataset.shape.join('×')} of ${dataset.classes}`,
      [{ path: 'dataset.shape', message: `expected ${space.input.join('×')} and ${space.classes} classes` }],
    )
  }
  if (state.datasetFingerprint !== null && state.datasetFingerprint !== dataset.fingerprint) {
    throw new ProblemError(
      'dataset-mismatch',
      `the training runs on ${setup.spec.dataset.name} with fingerprint ${state.datasetFingerprint}, this agent has ${dataset.name} with fingerprint ${dataset.fingerprint}`,
      [{ path: 'dataset.fingerprint', message: `expected ${state.datasetFingerprint}` }],
    )
  }
}

/** Gives the lease to an agent, unless another has it. Throws ProblemError `dataset-mismatch`. */
function leaseTraining(training: OpenTraining, request: TrainingLeaseRequest, leaseId: string, nowMs: number): TrainingLeaseResponse {
  const { store, setup } = training
  const { spec, space } = setup
  return store.transaction((): TrainingLeaseResponse => {
    expireLease(training, nowMs)
    const state = store.readState()
    checkDataset(training, state, request)
    if (state.result) return { kind: 'ended', end: state.result.end }
    const expiresAtMs = nowMs + spec.leaseMs
    const checkpointStep = state.checkpoint?.step ?? null
    if (state.lease && state.lease.agentId !== request.agentId) {
      return { kind: 'wait', retryAfterMs: Math.max(MIN_WAIT_MS, Math.min(MAX_WAIT_MS, state.lease.expiresAtMs - nowMs)) }
    }
    if (state.lease) {
      // The answer that told it of its lease got lost.
      store.writeState(withTrainer({ ...state, lease: { ...state.lease, expiresAtMs } }, { lastSeenAtMs: nowMs }))
      return { kind: 'lease', leaseId: state.lease.leaseId, spec, space, checkpointStep }
    }
    const { agentId, name, device, backend, dataset } = request
    const savedStep = checkpointStep ?? 0
    const trainer = {
      name,
      device,
      backend,
      leaseId,
      agentId,
      sinceMs: nowMs,
      lastSeenAtMs: nowMs,
      fromStep: savedStep,
      savedStep,
      end: null,
    }
    store.writeState({
      ...state,
      datasetFingerprint: dataset.fingerprint,
      startedAtMs: state.startedAtMs ?? nowMs,
      lease: { leaseId, agentId, expiresAtMs },
      trainers: [...state.trainers, trainer].slice(-KEPT_TRAINERS),
      counts: { ...state.counts, leases: state.counts.leases + 1 },
    })
    return { kind: 'lease', leaseId, spec, space, checkpointStep }
  })
}

/** Extends the lease, unless it has ended. */
function extendLease(training: OpenTraining, { leaseId, progress }: TrainingHeartbeat, nowMs: number): { kind: 'extended' | 'lost' } {
  const { store, setup } = training
  return store.transaction(() => {
    expireLease(training, nowMs)
    const state = store.readState()
    if (state.lease?.leaseId !== leaseId) return { kind: 'lost' }
    const lease = { ...state.lease, expiresAtMs: nowMs + setup.spec.leaseMs }
    store.writeState(withTrainer({ ...state, lease, progress: progress ?? state.progress }, { lastSeenAtMs: nowMs }))
    return { kind: 'extended' }
  })
}

/** Gives the lease back: the next agent that asks gets it. */
function releaseTraining(training: OpenTraining, leaseId: string, nowMs: number): { kind: 'released' | 'lost' } {
  const { store } = training
  return store.transaction(() => {
    expireLease(training, nowMs)
    const state = store.readState()
    if (state.lease?.leaseId !== leaseId) return { kind: 'lost' }
    store.writeState(withoutLease(withTrainer(state, { lastSeenAtMs: nowMs }), 'released'))
    return { kind: 'released' }
  })
}

/** Adds the reports that are new; those that are there have to be the same. Returns how many there are now. */
function appendReports(store: TrainingStore, reports: readonly EpochReport[]): number {
  const before = store.readReports()
  if (before.some((report, i) => report.step !== reports[i]?.step)) {
    const message = `expected the ${before.length} reports that were delivered before, unchanged, at the beginning`
    throw new ProblemError('conflict', message, [{ path: '__metadata__.state.reports', message }])
  }
  for (const [i, report] of reports.entries()) if (i >= before.length) store.appendReport(i + 1, report)
  return reports.length
}

/**
 * Takes a checkpoint from the agent that has the lease, in place of the one before; the lease is extended. One of the step
 * that is stored is a `duplicate`. Throws ProblemError `conflict` where it is behind, and where it is of another training;
 * `invalid-request` or `bad-numbers` where another agent could not go on from it.
 */
function storeCheckpoint(training: OpenTraining, leaseId: string, bytes: Uint8Array, nowMs: number): TrainingUpload {
  const { store, setup, shapes } = training
  const { spec } = setup
  return store.transaction((): TrainingUpload => {
    expireLease(training, nowMs)
    const state = store.readState()
    if (state.lease?.leaseId !== leaseId) return { kind: 'lost' }
    const upload = readCheckpointUpload(bytes, { spec, shapes, datasetFingerprint: state.datasetFingerprint })
    const lease = { ...state.lease, expiresAtMs: nowMs + spec.leaseMs }
    const held = withTrainer({ ...state, lease }, { lastSeenAtMs: nowMs })
    const stored = state.checkpoint?.step ?? -1
    if (upload.step < stored) {
      const message = `expected a step beyond that of the stored checkpoint, ${stored}, got ${upload.step}`
      throw new ProblemError('conflict', message, [{ path: '__metadata__.state.step', message }])
    }
    if (upload.step === stored) {
      store.writeState({ ...held, counts: { ...held.counts, duplicates: held.counts.duplicates + 1 } })
      return { kind: 'duplicate' }
    }
    const blob = state.counts.blobs + 1
    store.writeBlob(blob, bytes)
    const reports = appendReports(store, upload.reports)
    store.writeState({
      ...withTrainer(held, { savedStep: upload.step }),
      checkpoint: { blob, bytes: bytes.byteLength, step: upload.step, atMs: nowMs },
      counts: { ...held.counts, blobs: blob, reports },
    })
    if (state.checkpoint) store.deleteBlob(state.checkpoint.blob)
    return { kind: 'stored' }
  })
}

/**
 * Ends the training with its result and model, from the agent that has the lease; again, it is a `duplicate`. Throws
 * ProblemError `conflict` where the last checkpoint was not delivered, `invalid-request` or `bad-numbers` where the model is
 * not one of this network.
 */
function finishTraining(training: OpenTraining, leaseId: string, bytes: Uint8Array, nowMs: number): TrainingUpload {
  const { store, setup, shapes } = training
  return store.transaction((): TrainingUpload => {
    expireLease(training, nowMs)
    const state = store.readState()
    if (state.result) return { kind: 'duplicate' }
    if (state.lease?.leaseId !== leaseId) return { kind: 'lost' }
    const result = readModelUpload(bytes, setup.spec, shapes)
    if (result.end !== 'diverged' && result.steps !== state.checkpoint?.step) {
      const message = `expected the step of the last checkpoint, ${state.checkpoint?.step ?? 'none'}, got ${result.steps}`
      throw new ProblemError('conflict', message, [{ path: '__metadata__.result.steps', message }])
    }
    const blob = state.counts.blobs + 1
    const hasModel = result.end === 'finished'
    if (hasModel) store.writeBlob(blob, bytes)
    const ended = withoutLease(withTrainer(state, { lastSeenAtMs: nowMs }), 'finished')
    store.writeState({
      ...ended,
      finishedAtMs: nowMs,
      result,
      model: hasModel ? { blob, bytes: bytes.byteLength } : null,
      // What is left of it is its step: nobody goes on from it.
      checkpoint: null,
      counts: { ...ended.counts, blobs: hasModel ? blob : ended.counts.blobs },
    })
    if (state.checkpoint) store.deleteBlob(state.checkpoint.blob)
    return { kind: 'stored' }
  })
}

/** Throws ProblemError `not-found` where there is none. */
function readCheckpointBytes({ store }: OpenTraining): Uint8Array<ArrayBuffer> {
  const { checkpoint } = store.readState()
  if (!checkpoint) throw new ProblemError('not-found', 'this training has no checkpoint: it has not begun, or it has ended')
  return store.readBlob(checkpoint.blob)
}

/** The trained network. Throws ProblemError `not-found` where there is none. */
function readModelBytes({ store }: OpenTraining): Uint8Array<ArrayBuffer> {
  const { model, result } = store.readState()
  if (!model) throw new ProblemError('not-found', result ? `this training ${result.end}; it has no network` : 'this training has not ended')
  return store.readBlob(model.blob)
}

export {
  expireLease,
  extendLease,
  finishTraining,
  leaseEndMs,
  leaseTraining,
  type OpenTraining,
  openTraining,
  readCheckpointBytes,
  readModelBytes,
  releaseTraining,
  storeCheckpoint,
}
