// The status of a training, computed from what is stored.

import type { EpochReport, TrainingPhase, TrainingStatus, TrainingSummary } from '../../protocol/index.ts'
import { missingInputs, type OpenTraining } from './rules.ts'
import type { TrainingState } from './stored.ts'

function phaseOf({ result, lease }: TrainingState): TrainingPhase {
  if (result) return result.end
  return lease ? 'training' : 'waiting'
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

/** Everything that `GET /v1/trainings/:id` answers. */
function trainingStatus(training: OpenTraining): TrainingStatus {
  const { store, setup } = training
  const state = store.readState()
  const { startedAtMs, finishedAtMs, progress, checkpoint, trainers, counts, datasetFingerprint, result, model } = state
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
    trainers,
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

export { trainingStatus, trainingSummary }
