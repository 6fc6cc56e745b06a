// The training engine: executes layer graphs on the active TensorFlow.js backend.

export { createAdamW } from './adamw.ts'
export type { Distillation } from './distillation.ts'
export type { Dropout } from './dropout.ts'
export { type AnyInferenceStep, foldBatchNorm, type InferenceNetwork } from './fold-batch-norm.ts'
export { createInference, type Inference, type InferenceOptions } from './inference.ts'
export type { ChannelStatistics, InferenceStep } from './layers/index.ts'
export type { StepKind } from './step.ts'
export { clipGradients, type MomentName, type Optimiser } from './optimiser.ts'
export { copyToShared, tensorFromShared } from './read-values.ts'
export { cosineRate, createSgd, type Sgd, type SgdOptions } from './sgd.ts'
export { averageStatistics, batchStatistics } from './statistics.ts'
export {
  type Batch,
  evaluate,
  type EvaluateInput,
  type GateGradient,
  type GateResult,
  gateStep,
  type LossResult,
  partStarts,
  predict,
  type StepInput,
  type TrainInput,
  type TrainResult,
  trainStep,
} from './steps.ts'
export { createWeights, type Weights } from './weights.ts'
