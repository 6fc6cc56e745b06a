export { commandTraining } from './control.ts'
export { createTrainingSetup, describeNetwork, startTraining } from './create.ts'
export {
  expireLease,
  extendLease,
  finishTraining,
  leaseEndMs,
  leaseTraining,
  type OpenTraining,
  openTraining,
  readFilePart,
  releaseTraining,
  storeCheckpoint,
  storeInput,
} from './rules.ts'
export { trainingStatus, trainingSummary } from './status.ts'
export type { TrainingStore } from './store.ts'
export { storedReportSchema, type TrainingSetup, trainingSetupSchema, type TrainingState, trainingStateSchema } from './stored.ts'
