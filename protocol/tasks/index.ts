// Work handed to agents and what comes back. A step number means the same mini-batch on every machine (docs/protocol.md),
// so two agents never train on the same images of an epoch without having to talk.
//
// Each kind is a file of its own: the work, its result, and what the two must have to do with each other.

import * as z from 'zod'
import { leaseIdSchema, taskIdSchema } from '../ids.ts'
import { batchNormScalesMismatch, batchNormScalesResultSchema, batchNormScalesSchema } from './batch-norm-scales.ts'
import { evaluatePathsMismatch, evaluatePathsResultSchema, evaluatePathsSchema, type EvaluationWork } from './evaluate-paths.ts'
import {
  type GateChoice,
  gateGradientsMismatch,
  gateGradientsResultSchema,
  gateGradientsSchema,
  type GateWork,
  hasGradients,
} from './gate-gradients.ts'
import { mixtureGradientsMismatch, mixtureGradientsResultSchema, mixtureGradientsSchema, type MixtureWork } from './mixture-gradients.ts'
import type { Mismatch, TaskSetting } from './parts.ts'
import { scoreMismatch, scoreResultSchema, scoreSchema } from './score.ts'
import { trainArchitectureMismatch, trainArchitectureResultSchema, trainArchitectureSchema } from './train-architecture.ts'
import {
  keptOperations,
  trainMixturesMismatch,
  trainMixturesResultSchema,
  trainMixturesSchema,
  type WeightMixtures,
} from './train-mixtures.ts'
import { pathsPerStep, trainWeightsMismatch, trainWeightsResultSchema, trainWeightsSchema, type WeightPaths } from './train-weights.ts'

const taskWorkSchema = z.discriminatedUnion('kind', [
  trainWeightsSchema,
  trainMixturesSchema,
  gateGradientsSchema,
  mixtureGradientsSchema,
  evaluatePathsSchema,
  batchNormScalesSchema,
  scoreSchema,
  trainArchitectureSchema,
])
type TaskWork = z.infer<typeof taskWorkSchema>
type TaskKind = TaskWork['kind']
type WorkOf<K extends TaskKind> = Extract<TaskWork, { kind: K }>
/** One architecture trained by itself; all other work is steps, each on one mini-batch. */
type TrialWork = WorkOf<'trainArchitecture'>
type StepWork = Exclude<TaskWork, TrialWork>
/** What trains the weights of the supernet; all other work leaves them alone. */
type WeightWork = WeightPaths | WeightMixtures

const taskResultSchema = z.discriminatedUnion('kind', [
  trainWeightsResultSchema,
  trainMixturesResultSchema,
  gateGradientsResultSchema,
  mixtureGradientsResultSchema,
  evaluatePathsResultSchema,
  batchNormScalesResultSchema,
  scoreResultSchema,
  trainArchitectureResultSchema,
])
type TaskResult = z.infer<typeof taskResultSchema>
type ResultOf<K extends TaskKind> = Extract<TaskResult, { kind: K }>

/** Whether work, or its result, is of a kind that trains the weights of the supernet. */
function trainsWeights<T extends { readonly kind: TaskKind }>(of: T): of is Extract<T, { kind: WeightWork['kind'] }> {
  return of.kind === 'trainWeights' || of.kind === 'trainMixtures'
}

/** Mini-batches that weights are trained on, of all lanes. */
function weightStepsOf(work: WeightWork): number {
  return work.kind === 'trainMixtures' ? work.steps : work.paths.length / pathsPerStep(work)
}

/** Why a task was given up: how the last of its leases ended. */
const failureReasonSchema = z.enum(['failed', 'bad-numbers', 'expired'])
type FailureReason = z.infer<typeof failureReasonSchema>

/** What a strategy hears of a task, once: its result, or that it was given up after so many attempts. */
type TaskOutcome =
  | { readonly kind: 'result'; readonly result: TaskResult }
  | { readonly kind: 'failure'; readonly reason: FailureReason; readonly attempts: number }

/** Checks of results that are of the right kind and form. */
const mismatches: { readonly [K in TaskKind]: (work: WorkOf<K>, result: ResultOf<K>, setting: TaskSetting) => Mismatch | null } = {
  trainWeights: trainWeightsMismatch,
  trainMixtures: trainMixturesMismatch,
  gateGradients: gateGradientsMismatch,
  mixtureGradients: mixtureGradientsMismatch,
  evaluatePaths: evaluatePathsMismatch,
  batchNormScales: batchNormScalesMismatch,
  score: scoreMismatch,
  trainArchitecture: trainArchitectureMismatch,
}

/** What of a result does not answer the work, or null. */
function resultMismatch(work: TaskWork, result: TaskResult, setting: TaskSetting): Mismatch | null {
  if (work.kind !== result.kind) return { path: 'result.kind', message: `expected ${work.kind}, got ${result.kind}` }
  const check = mismatches[work.kind] as (work: TaskWork, result: TaskResult, setting: TaskSetting) => Mismatch | null
  return check(work, result, setting)
}

const taskSchema = z
  .strictObject({
    taskId: taskIdSchema,
    leaseId: leaseIdSchema,
    leaseMs: z.int().describe('the lease ends this long after the answer, or after the last heartbeat'),
    work: taskWorkSchema,
    rollbacks: z
      .int()
      .min(1)
      .optional()
      .describe(
        'how often the search was taken back to a snapshot; where it is more than before, weights are to be pulled anew. Left out: never',
      ),
    pushRight: z.string().optional().describe('to be sent as the header Push-Right with pushes of this task; there if it changes weights'),
    checkpoint: z
      .object({
        step: z.int().min(0).nullable().describe('mini-batches done in the checkpoint to go on from; null: there is none'),
        everyMs: z.int().min(0).describe('time between two that are to be kept'),
      })
      .optional()
      .describe('of trials; left out where the coordinator keeps none'),
  })
  .meta({ id: 'Task' })
type Task = z.infer<typeof taskSchema>

/** What the agent spent on a task. */
const timingSchema = z.strictObject({
  trainMs: z.number().min(0).max(1e12).describe('time in steps'),
  idleMs: z.number().min(0).max(1e12).describe('time between tasks and waiting for the network since the last result'),
  peakBytes: z
    .int()
    .min(0)
    .optional()
    .describe("most bytes that one step's activations and gradients took, summed over threads that ran at once"),
  exchangeMs: z
    .number()
    .min(0)
    .max(1e12)
    .optional()
    .describe(
      'how long it takes until an agent has what another one learnt: the last delivery of a weight task, and the last lease and pull',
    ),
  bytesSent: z.int().min(0).optional().describe('of weights pushed since the last result, as they travelled'),
  bytesReceived: z.int().min(0).optional().describe('of weights pulled since the last result, as they travelled'),
})
type Timing = z.infer<typeof timingSchema>

export {
  type EvaluationWork,
  type FailureReason,
  failureReasonSchema,
  type GateChoice,
  type GateWork,
  hasGradients,
  keptOperations,
  type MixtureWork,
  pathsPerStep,
  resultMismatch,
  type ResultOf,
  type StepWork,
  type Task,
  type TaskKind,
  type TaskOutcome,
  type TaskResult,
  taskResultSchema,
  taskSchema,
  type TaskWork,
  taskWorkSchema,
  type Timing,
  timingSchema,
  trainsWeights,
  type TrialWork,
  type WeightMixtures,
  type WeightPaths,
  weightStepsOf,
  type WeightWork,
  type WorkOf,
}
