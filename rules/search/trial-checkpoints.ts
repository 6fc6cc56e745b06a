// Checkpoints of trials: what an agent that trains one architecture keeps at the coordinator, so that whoever has the task next, or a task
// that trains the same trial further, goes on from there. They are named by the number of the trial.
//
// A checkpoint is taken from the agent that has the lease, and only one that is further than the one there is. It is deleted when no task
// of its trial is outstanding and the strategy does not want to go on from it (trial-files.ts). One that is missing changes no number: its trial
// begins anew.

import {
  type Delivery,
  type FilePart,
  type LeaseRef,
  MAX_CHECKPOINT_BYTES,
  MAX_TRIAL_CHECKPOINT_BYTES,
  invalidField,
  PART_BYTES,
  ProblemError,
  type TaskWork,
  type TrainingUpload,
  parentFingerprint,
  type TrialWork,
} from '../../protocol/index.ts'
import { printArchitecture } from '../../search-space/index.ts'
import { readCheckpointUpload } from '../network-files/checks.ts'
import { checkDelivery, MAX_REPORT_BYTES, receivePart } from '../network-files/parts.ts'
import { checkpointBytes, networkShapes } from '../network-files/shapes.ts'
import type { OpenSearch } from './open.ts'
import { blobsOf, isNumberedTrial, trialsReadBy } from './trial-files.ts'

/** What there is to go on from, or null; undefined for work of which no checkpoint is kept. */
function checkpointOf({ store, setup }: OpenSearch, work: TaskWork): { step: number | null; everyMs: number } | undefined {
  if (!isNumberedTrial(work)) return undefined
  const files = store.trialFiles().find(({ trial }) => trial === work.trial)
  return { step: files?.checkpoint?.step ?? null, everyMs: setup.config.tasks.checkpointMs }
}

/** What a checkpoint of a trial has to be of. */
function checkpointSpec({ setup, context }: OpenSearch, { path, recipe, seed, start }: TrialWork) {
  return {
    architecture: printArchitecture(context.space, path),
    recipe,
    seed,
    shareSeed: setup.config.seed,
    ...(start === 'supernet' && { initial: { fingerprint: 'supernet' } }),
    ...(typeof start !== 'string' && { initial: { fingerprint: parentFingerprint(start) } }),
  }
}

/**
 * Takes a checkpoint, or a part of one, from the agent that has the task, in place of the one before. One of the step that is stored is a
 * `duplicate`. Throws ProblemError `conflict` where it is behind, of another training, or of work that has none; `too-large` where there
 * is no room for it; `invalid-request` or `bad-numbers` where nobody could go on from it.
 */
function storeTrialCheckpoint(
  search: OpenSearch,
  { taskId, leaseId, agentId }: LeaseRef,
  delivery: Delivery,
  nowMs: number,
): TrainingUpload {
  const { store, context } = search
  return store.transaction((): TrainingUpload => {
    const { finishedAtMs, datasetFingerprint } = store.readState()
    const task = store.outstandingTasks().find((candidate) => candidate.taskId === taskId)
    const holds = task?.lease?.leaseId === leaseId && task.lease.agentId === agentId && task.lease.expiresAtMs > nowMs
    if (!task || !holds || finishedAtMs !== null) return { kind: 'lost' }
    const { work } = task
    if (!isNumberedTrial(work)) throw new ProblemError('conflict', `task ${taskId} is no trial: it has no checkpoint`)
    const shapes = networkShapes(context.space, work.path)
    checkDelivery(Math.min(MAX_CHECKPOINT_BYTES, checkpointBytes(work.recipe, shapes) + MAX_REPORT_BYTES), delivery)
    const all = store.trialFiles()
    const files = all.find(({ trial }) => trial === work.trial) ?? { trial: work.trial, checkpoint: null, upload: null }
    const others = all.filter(({ trial }) => trial !== work.trial)
    const used = others.flatMap(blobsOf).reduce((sum, { bytes }) => sum + bytes, 0)
    if (used + delivery.part.total > 2 * MAX_TRIAL_CHECKPOINT_BYTES) {
      throw new ProblemError('too-large', `the checkpoints of this search have ${used} bytes already; this one is not kept`)
    }
    const blobs = Math.max(0, ...all.flatMap(blobsOf).map(({ blob }) => blob))
    const { upload, arrived } = receivePart(store, { upload: files.upload, blobs }, 'checkpoint', delivery)
    if (arrived.kind === 'partial') {
      store.writeTrialFiles({ ...files, upload })
      return arrived
    }
    const { source, blob, isStored } = arrived
    const { step } = readCheckpointUpload(source, { spec: checkpointSpec(search, work), shapes, datasetFingerprint })
    const stored = files.checkpoint?.step ?? -1
    if (step < stored) {
      const message = `expected a step beyond that of the stored checkpoint, ${stored}, got ${step}`
      throw new ProblemError('conflict', message, [{ path: '__metadata__.state.step', message }])
    }
    if (step === stored) {
      if (isStored) store.deleteBlob(blob)
      store.writeTrialFiles({ ...files, upload })
      return { kind: 'duplicate' }
    }
    if (!isStored) store.writeBlob(blob, 0, delivery.bytes)
    if (files.checkpoint) store.deleteBlob(files.checkpoint.blob)
    store.writeTrialFiles({ ...files, upload, checkpoint: { blob, bytes: source.byteLength, step, atMs: nowMs } })
    return { kind: 'stored' }
  })
}

/**
 * At most PART_BYTES, from `begin` on, of the checkpoint that a task goes on from: its own, or, where there is none yet, that of the trial
 * whose weights it starts from. Throws ProblemError `not-found` where there is none, `invalid-request` where it ends before `begin`.
 */
function readTrialCheckpoint({ store }: OpenSearch, taskId: number, begin: number): FilePart {
  const work = store.outstandingTasks().find((task) => task.taskId === taskId)?.work
  const files = store.trialFiles()
  const [checkpoint] = (work ? trialsReadBy(work) : []).flatMap((wanted) => files.find(({ trial }) => trial === wanted)?.checkpoint ?? [])
  if (!checkpoint) throw new ProblemError('not-found', `there is no checkpoint that task ${taskId} could go on from`)
  const { blob, bytes, step } = checkpoint
  if (begin >= bytes) throw invalidField('Range', `expected a byte below ${bytes}, got ${begin}`)
  return { version: `${blob}-${step}`, total: bytes, bytes: store.readBlob(blob, begin, Math.min(begin + PART_BYTES, bytes)) }
}

export { checkpointOf, readTrialCheckpoint, storeTrialCheckpoint }
