// The rules of a training: who has it, which checkpoint counts, how it ends. Pure but for the store: time and new ids are
// arguments.
//
// One agent at a time has the lease (leased-work/). A checkpoint is taken from it alone, and only one that is further than the one there
// is: whoever gets the lease next goes on from there, so that nothing before it is ever trained again. Reports come with
// the checkpoints, each once. A checkpoint takes the place of the one before in one transaction with the state that
// names it.
//
// What is larger than a request comes in parts, each stored as it comes. An upload belongs to the lease that it began
// under and goes with it; it counts when its last part is there and the whole has been checked.

import {
  type Delivery,
  type EpochReport,
  type FilePart,
  knownKinds,
  LISTENING_PAUSED_WAIT_MS,
  MAX_CHECKPOINT_BYTES,
  PART_BYTES,
  invalidField,
  ProblemError,
  type TrainingHeartbeat,
  type TrainingEnd,
  type TrainingInput,
  type TrainingLeaseRequest,
  type TrainingLeaseResponse,
  type TrainingRelease,
  type TrainingUpload,
  trainingVersion,
  understands,
  unknownKind,
} from '../../protocol/index.ts'
import { expire, extended, findHeld, giveBack, type LeasedWork, newLease, nextExpiry } from '../leased-work/leased-work.ts'
import { checkDataset } from '../check-dataset.ts'
import { checkInputUpload, readCheckpointUpload, readModelUpload } from '../network-files/checks.ts'
import { checkDelivery, MAX_REPORT_BYTES, receivePart } from '../network-files/parts.ts'
import { describeNetwork, type NetworkDescription } from './create.ts'
import { agreedDivergence, standingOf, withFault } from './faults.ts'
import { INPUT_WAIT_MS, MAX_WAIT_MS, MIN_WAIT_MS } from './limits.ts'
import type { TrainingStore } from './store.ts'
import type { TrainingSetup, TrainingState } from './stored.ts'

/** An agent that has delivered no checkpoint for so long, or for so many times as long as there should be one, has hung. */
const MIN_HELD_MS = 3_600_000
const HELD_FACTOR = 6
/** Leases that the status tells of. */
const KEPT_TRAINERS = 50

/** A training opened for use: its fixed parts, computed once. */
type OpenTraining = NetworkDescription & { readonly store: TrainingStore; readonly setup: TrainingSetup }

type TrainerEnd = NonNullable<TrainingState['trainers'][number]['end']>

/** Null where no training has been created in this store. */
function openTraining(store: TrainingStore): OpenTraining | null {
  const setup = store.readSetup()
  return setup && { store, setup, ...describeNetwork(setup) }
}

/** The state without a lease and what was being sent under it; its last trainer is noted as having ended so. */
function withoutLease(store: TrainingStore, state: TrainingState, end: TrainerEnd): TrainingState {
  const last = state.trainers.at(-1)
  const trainers = [...state.trainers.slice(0, -1), ...(last ? [{ ...last, end }] : [])]
  return { ...withoutUpload(store, state), lease: null, progress: null, trainers }
}

/** The state without the upload that has begun; its bytes are deleted. */
function withoutUpload(store: TrainingStore, state: TrainingState): TrainingState {
  if (state.upload) store.deleteBlob(state.upload.blob)
  return { ...state, upload: null }
}

/** Of the agent that has the lease, or had it last. */
function withTrainer(state: TrainingState, change: Partial<TrainingState['trainers'][number]>): TrainingState {
  const last = state.trainers.at(-1)
  return last ? { ...state, trainers: [...state.trainers.slice(0, -1), { ...last, ...change }] } : state
}

/** A training as leased work: one piece of it, which is never given up, and of whose leases those that expired came to nothing. */
type TrainingLease = { readonly lease: TrainingState['lease']; readonly attempts: number }

function leasedTraining({ store, setup }: OpenTraining): LeasedWork<TrainingLease> {
  return {
    leaseMs: setup.spec.leaseMs,
    maxAttempts: null,
    endsAtMs() {
      const { trainers, checkpoint } = store.readState()
      return Math.max(trainers.at(-1)?.sinceMs ?? 0, checkpoint?.atMs ?? 0) + Math.max(MIN_HELD_MS, HELD_FACTOR * setup.spec.checkpointMs)
    },
    transaction: (body) => store.transaction(body),
    items() {
      const { lease, counts } = store.readState()
      return [{ lease, attempts: counts.expiredLeases }]
    },
    shorten({ lease }, nowMs) {
      const state = store.readState()
      const { sinceMs = nowMs, lastSeenAtMs = nowMs } = state.trainers.at(-1) ?? {}
      const notLater = { sinceMs: Math.min(sinceMs, nowMs), lastSeenAtMs: Math.min(lastSeenAtMs, nowMs) }
      store.writeState(withTrainer({ ...state, lease }, notLater))
    },
    end(ended, nowMs) {
      for (const { end, message = 'it did not say why' } of ended) {
        const state = store.readState()
        const isExpired = end === 'expired'
        const heard = isExpired ? state : withTrainer(state, { lastSeenAtMs: nowMs })
        const hasFailed = end === 'failed' || end === 'bad-numbers'
        const noted = hasFailed ? withFault(heard, { kind: 'failed', message }, nowMs) : heard
        const without = withoutLease(store, noted, isExpired ? 'expired' : hasFailed ? 'failed' : 'released')
        const { counts } = without
        store.writeState({ ...without, counts: { ...counts, expiredLeases: counts.expiredLeases + (isExpired ? 1 : 0) } })
      }
    },
  }
}

/** Ends a lease whose time is over; whether there was one. */
function expireLease(training: OpenTraining, nowMs: number): boolean {
  return expire(leasedTraining(training), nowMs) > 0
}

/** When the lease ends, or null where nobody has it. */
function leaseEndMs(training: OpenTraining): number | null {
  return nextExpiry(leasedTraining(training))
}

/** How the training ended, whoever ended it; null while it goes on. */
function endOf({ result, intent }: TrainingState): TrainingEnd | null {
  return result?.end ?? (intent === 'stopped' ? 'stopped' : null)
}

const waitMs = (leftMs: number) => Math.max(MIN_WAIT_MS, Math.min(MAX_WAIT_MS, leftMs))

/**
 * Gives the lease to an agent, unless another has it. One that could not go on from the last checkpoint waits until others had the time to
 * try. Throws ProblemError `dataset-mismatch`, or `conflict` for one that knows no trainings or failed too often.
 */
function leaseTraining(training: OpenTraining, request: TrainingLeaseRequest, leaseId: string, nowMs: number): TrainingLeaseResponse {
  const { store, setup } = training
  const { spec, space } = setup
  return store.transaction((): TrainingLeaseResponse => {
    expireLease(training, nowMs)
    const state = store.readState()
    const wanted = { what: 'training', space, dataset: spec.dataset, fingerprint: state.datasetFingerprint } as const
    checkDataset(wanted, request.dataset)
    const kinds = knownKinds(request)
    const version = trainingVersion(spec.recipe)
    if (!understands(kinds, 'trainArchitecture', version)) throw unknownKind(request.name, kinds, 'trainArchitecture', version)
    const end = endOf(state)
    if (end) return { kind: 'ended', end }
    if (missingInputs(training, state).length > 0)
      return { kind: 'wait', reason: 'inputs', retryAfterMs: INPUT_WAIT_MS, listeningRetryMs: MAX_WAIT_MS }
    const lease = newLease(spec, leaseId, request.agentId, nowMs)
    const checkpointStep = state.checkpoint?.step ?? null
    if (state.lease && state.lease.agentId !== request.agentId) {
      return { kind: 'wait', reason: 'taken', retryAfterMs: waitMs(state.lease.expiresAtMs - nowMs), listeningRetryMs: MAX_WAIT_MS }
    }
    if (state.lease) {
      // The answer that told it of its lease got lost.
      store.writeState(withTrainer({ ...state, lease: { ...lease, leaseId: state.lease.leaseId } }, { lastSeenAtMs: nowMs }))
      return { kind: 'lease', leaseId: state.lease.leaseId, spec, space, checkpointStep }
    }
    if (state.intent === 'paused')
      return { kind: 'wait', reason: 'paused', retryAfterMs: MAX_WAIT_MS, listeningRetryMs: LISTENING_PAUSED_WAIT_MS }
    const { agentId, name, device, backend, dataset } = request
    const standing = standingOf(state, setup, agentId, nowMs)
    if (standing.kind === 'wait') return { kind: 'wait', reason: 'fault', retryAfterMs: waitMs(standing.leftMs) }
    if (standing.kind === 'diverged') {
      store.writeState({ ...state, finishedAtMs: nowMs, result: { end: 'diverged', message: standing.message } })
      return { kind: 'ended', end: 'diverged' }
    }
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
      lease,
      trainers: [...state.trainers, trainer].slice(-KEPT_TRAINERS),
      counts: { ...state.counts, leases: state.counts.leases + 1 },
    })
    return { kind: 'lease', leaseId, spec, space, checkpointStep }
  })
}

/** Extends the lease, unless it has ended. */
function extendLease(training: OpenTraining, { leaseId, progress }: TrainingHeartbeat, nowMs: number): { kind: 'extended' | 'lost' } {
  const { store } = training
  const work = leasedTraining(training)
  return store.transaction(() => {
    const held = findHeld(work, leaseId, nowMs)
    if (!held) return { kind: 'lost' }
    const state = store.readState()
    const { lease } = extended(work, held, nowMs)
    store.writeState(withTrainer({ ...state, lease, progress: progress ?? state.progress }, { lastSeenAtMs: nowMs }))
    return { kind: 'extended' }
  })
}

/** Gives the lease back: the next agent that asks gets it. */
function releaseTraining(training: OpenTraining, request: TrainingRelease, nowMs: number): { kind: 'released' | 'lost' } {
  const work = leasedTraining(training)
  return work.transaction(() => {
    const held = findHeld(work, request.leaseId, nowMs)
    if (!held) return { kind: 'lost' }
    giveBack(work, held, { end: request.reason === 'stopping' ? 'released' : 'failed', message: request.message }, nowMs)
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

type What = 'checkpoint' | 'model' | TrainingInput

/** A part of a file of this training, or the whole; the state with what came of it is not written yet. */
function receive(store: TrainingStore, state: TrainingState, what: What, delivery: Delivery) {
  const { upload, blobs, arrived } = receivePart(store, { upload: state.upload, blobs: state.counts.blobs }, what, delivery)
  return { state: { ...state, upload, counts: { ...state.counts, blobs } }, arrived }
}

/** Files that an agent needs and that are not there. */
function missingInputs({ inputs }: OpenTraining, state: TrainingState): TrainingInput[] {
  return endOf(state) ? [] : [...inputs.keys()].filter((input) => !state.inputs[input])
}

/**
 * Takes a file that the training begins with, or a part of it, from who has created it. One that is there is a `duplicate`.
 * Throws ProblemError `conflict` where none was announced, `invalid-request`, `bad-numbers` or `too-large` where it is not
 * what was.
 */
function storeInput(training: OpenTraining, input: TrainingInput, delivery: Delivery): TrainingUpload {
  const { store, inputs } = training
  const shapes = inputs.get(input)
  if (!shapes)
    throw new ProblemError('conflict', `this training was created without ${input}`, [{ path: 'input', message: 'not expected' }])
  checkDelivery(MAX_CHECKPOINT_BYTES, delivery)
  return store.transaction((): TrainingUpload => {
    const before = store.readState()
    if (before.inputs[input] || endOf(before)) return { kind: 'duplicate' }
    const { state, arrived } = receive(store, before, input, delivery)
    if (arrived.kind === 'partial') {
      store.writeState(state)
      return arrived
    }
    const { source, blob, isStored } = arrived
    checkInputUpload(source, shapes)
    if (!isStored) store.writeBlob(blob, 0, delivery.bytes)
    const stored = { blob, bytes: source.byteLength }
    store.writeState({ ...state, inputs: { ...state.inputs, [input]: stored } })
    return { kind: 'stored' }
  })
}

/**
 * Takes a checkpoint, or a part of one, from the agent that has the lease, in place of the one before; the lease is extended.
 * One of the step that is stored is a `duplicate`. Throws ProblemError `conflict` where it is behind, and where it is of
 * another training; `invalid-request`, `bad-numbers` or `too-large` where another agent could not go on from it.
 */
function storeCheckpoint(training: OpenTraining, leaseId: string, delivery: Delivery, nowMs: number): TrainingUpload {
  const { store, setup, shapes } = training
  const { spec } = setup
  checkDelivery(training.checkpointBytes + MAX_REPORT_BYTES, delivery)
  const work = leasedTraining(training)
  return store.transaction((): TrainingUpload => {
    const held = findHeld(work, leaseId, nowMs)
    if (!held) return { kind: 'lost' }
    const { state, arrived } = receive(store, store.readState(), 'checkpoint', delivery)
    const next = withTrainer({ ...state, lease: extended(work, held, nowMs).lease }, { lastSeenAtMs: nowMs })
    if (arrived.kind === 'partial') {
      store.writeState(next)
      return arrived
    }
    const { source, blob, isStored } = arrived
    const upload = readCheckpointUpload(source, { spec, shapes, datasetFingerprint: state.datasetFingerprint })
    const stored = state.checkpoint?.step ?? -1
    if (upload.step < stored) {
      const message = `expected a step beyond that of the stored checkpoint, ${stored}, got ${upload.step}`
      throw new ProblemError('conflict', message, [{ path: '__metadata__.state.step', message }])
    }
    if (upload.step === stored) {
      if (isStored) store.deleteBlob(blob)
      store.writeState({ ...next, counts: { ...next.counts, duplicates: next.counts.duplicates + 1 } })
      return { kind: 'duplicate' }
    }
    if (!isStored) store.writeBlob(blob, 0, delivery.bytes)
    const reports = appendReports(store, upload.reports)
    const saved = withTrainer(next, { savedStep: upload.step })
    store.writeState({
      // Whoever had it when it was paused has now come to where another can go on.
      ...(state.intent === 'paused' ? withoutLease(store, saved, 'paused') : saved),
      checkpoint: { blob, bytes: source.byteLength, step: upload.step, atMs: nowMs },
      faults: [],
      counts: { ...next.counts, reports },
    })
    if (state.checkpoint) store.deleteBlob(state.checkpoint.blob)
    return { kind: 'stored' }
  })
}

/**
 * Ends the training with its result and model, or takes a part of them, from the agent that has the lease; again, it is a
 * `duplicate`. An agent for which it diverged only gives its lease back, until others have found the same. The checkpoint stays in any
 * case. Throws ProblemError `conflict` where the last checkpoint was not delivered, `invalid-request`, `bad-numbers` or
 * `too-large` where the model is not one of this network.
 */
function finishTraining(training: OpenTraining, leaseId: string, delivery: Delivery, nowMs: number): TrainingUpload {
  const { store, setup, shapes } = training
  checkDelivery(training.checkpointBytes + MAX_REPORT_BYTES, delivery)
  const work = leasedTraining(training)
  return store.transaction((): TrainingUpload => {
    const held = findHeld(work, leaseId, nowMs)
    const before = store.readState()
    if (before.result) return { kind: 'duplicate' }
    if (!held) return { kind: 'lost' }
    const { state, arrived } = receive(store, before, 'model', delivery)
    if (arrived.kind === 'partial') {
      store.writeState(withTrainer({ ...state, lease: extended(work, held, nowMs).lease }, { lastSeenAtMs: nowMs }))
      return arrived
    }
    const { source, blob, isStored } = arrived
    const result = readModelUpload(source, setup.spec, shapes)
    const heard = withTrainer(state, { lastSeenAtMs: nowMs })
    if (result.end === 'diverged') {
      if (isStored) store.deleteBlob(blob)
      const noted = withFault(withoutLease(store, heard, 'diverged'), { kind: 'diverged', message: result.message }, nowMs)
      const agreed = agreedDivergence(noted)
      store.writeState({ ...noted, ...(agreed && { result: agreed, finishedAtMs: nowMs }) })
      return { kind: 'stored' }
    }
    if (result.steps !== state.checkpoint?.step) {
      const message = `expected the step of the last checkpoint, ${state.checkpoint?.step ?? 'none'}, got ${result.steps}`
      throw new ProblemError('conflict', message, [{ path: '__metadata__.result.steps', message }])
    }
    const hasModel = result.end === 'finished'
    if (hasModel && !isStored) store.writeBlob(blob, 0, delivery.bytes)
    if (!hasModel && isStored) store.deleteBlob(blob)
    store.writeState({
      ...withoutLease(store, heard, 'finished'),
      finishedAtMs: nowMs,
      result,
      model: hasModel ? { blob, bytes: source.byteLength } : null,
      // Without a network, a person may want it to go on.
      inputs: hasModel ? {} : state.inputs,
    })
    if (hasModel) for (const input of Object.values(state.inputs)) if (input) store.deleteBlob(input.blob)
    return { kind: 'stored' }
  })
}

/**
 * At most PART_BYTES, from `begin` on, of a file: the checkpoint to go on from, the trained network, or what it begins with.
 * Throws ProblemError `not-found` where there is none, `invalid-request` where it ends before `begin`.
 */
function readFilePart({ store }: OpenTraining, what: What, begin: number): FilePart {
  const { checkpoint, model, inputs, result } = store.readState()
  const file = { checkpoint, model, initial: inputs.initial, teacher: inputs.teacher }[what]
  if (!file) {
    const why = {
      checkpoint: 'this training has no checkpoint yet',
      initial: 'there are no weights that this training starts from',
      teacher: 'this training has no teacher',
      model: result ? `this training ${result.end}; it has no network` : 'this training has not ended',
    }
    throw new ProblemError('not-found', why[what])
  }
  if (begin >= file.bytes) throw invalidField('Range', `expected a byte below ${file.bytes}, got ${begin}`)
  const bytes = store.readBlob(file.blob, begin, Math.min(begin + PART_BYTES, file.bytes))
  return { version: String(file.blob), total: file.bytes, bytes }
}

export {
  endOf,
  expireLease,
  extendLease,
  finishTraining,
  leaseEndMs,
  leaseTraining,
  missingInputs,
  type OpenTraining,
  openTraining,
  readFilePart,
  releaseTraining,
  storeCheckpoint,
  storeInput,
  withoutLease,
}
