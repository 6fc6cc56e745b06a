// The status of a training, computed from what is stored.

import type { EpochReport, TrainingPhase, TrainingStatus, TrainingSummary } from '../../protocol/index.ts'
import { endOf, missingInputs, type OpenTraining } from './rules.ts'
import type { TrainingState } from './stored.ts'

function phaseOf(state: TrainingState): TrainingPhase {
  return endOf(state) ?? (state.intent === 'paused' ? 'paused' : state.lease ? 'training' : 'waiting')
}

function lastAccuracy(reports: readonly EpochReport[]): number | null {
  return reports.findLast((report) => report.validation !== null)?.validation?.top1 ?? null
}

function trainingSummary({ store, setup }: OpenTraining): TrainingSummary {
  const { trainingId, createdAtMs, spec } = setup
  const reports = store.readReports()
  return {
    trainingId,
    name: spec.name,
    phase: phaseOf(store.readState()),
    architecture: spec.architecture,
    createdAtMs,
    epoch: reports.at(-1)?.epoch ?? 0,
    accuracy: lastAccuracy(reports),
  }
}

/** Without what it takes to act for the agent. */
function withoutHolder(trainer: TrainingState['trainers'][number]): TrainingStatus['trainers'][number] {
  const { leaseId: _, agentId: __, ...shown } = trainer
  return shown
}

/**
 * Everything that `GET /v1/trainings/:id` answers.
 *
 * @param isAdmin whether it is for the administrator, who alone sees what a lease is held by
 */
function trainingStatus(training: OpenTraining, isAdmin: boolean): TrainingStatus {
  const { store, setup } = training
  const state = store.readState()
  const { startedAtMs, finishedAtMs, progress, checkpoint, trainers, faults = [], counts, datasetFingerprint, result, model } = state
  const reports = store.readReports()
  return {
    ...trainingSummary(training),
    startedAtMs,
    finishedAtMs,
    progress,
    loss: reports.at(-1)?.trainLoss ?? null,
    missingInputs: missingInputs(training, state),
    checkpoint: checkpoint && { step: checkpoint.step, bytes: checkpoint.bytes, atMs: checkpoint.atMs },
    reports: [...reports],
    trainers: isAdmin ? trainers : trainers.map(withoutHolder),
    faults: faults.map(({ name, kind, message, step, atMs }) => ({ name, kind, message, step, atMs })),
    leases: counts.leases,
    expiredLeases: counts.expiredLeases,
    duplicates: counts.duplicates,
    datasetFingerprint,
    result,
    modelBytes: model?.bytes ?? null,
    spec: setup.spec,
    space: setup.space,
  }
}

export { phaseOf, trainingStatus, trainingSummary }
