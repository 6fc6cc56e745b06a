// Work handed to agents and what comes back. A step number means the same mini-batch on every machine (docs/protocol.md),
// so two agents never train on the same images of an epoch without having to talk.

import * as z from 'zod'
import { MAX_LANES, MAX_MAGNITUDE, MAX_TASK_STEPS } from './limits.ts'
import { leaseIdSchema, taskIdSchema } from './ids.ts'

const operationIndex = z.int().min(0).max(255)
const pathSchema = z.array(operationIndex).max(1024).describe('one operation index per block')
const step = z.int().min(0)
/** Of what an agent has learnt in a round; see round-shares.ts. */
const share = z.number().positive().max(1)
const finite = z.number().min(-MAX_MAGNITUDE).max(MAX_MAGNITUDE)

const trainWeightsSchema = z
  .strictObject({
    kind: z.literal('trainWeights'),
    firstStep: step.describe('global number of the first weight step; step i uses mini-batch firstStep + i of the weight share'),
    paths: z
      .array(pathSchema)
      .min(1)
      .max(MAX_TASK_STEPS)
      .describe('the path of each mini-batch; with lanes, path i · lanes + l is step i of lane l'),
    lanes: z
      .object({
        count: z.int().min(1).max(MAX_LANES).describe('paths that are trained side by side'),
        mergeEvery: z
          .int()
          .min(1)
          .max(MAX_TASK_STEPS)
          .describe('steps of each lane after which what the lanes have learnt is put together'),
      })
      .optional()
      .describe('how the threads of one machine share the task; absent: one path after the other'),
    schedule: z
      .object({
        from: z.number().min(0).describe('effective steps of the search before the first local step'),
        perStep: z.number().min(0).describe('effective steps that each local step moves on'),
        counts: z.number().min(0).describe('effective steps that this task counts for'),
      })
      .optional()
      .describe('where the learning rate is; absent: firstStep, 1, and the number of paths'),
    round: z
      .object({
        members: z.int().min(2).describe('agents in this round'),
        commonShare: share.describe('share of their difference that is pushed of weights that every path has'),
        sharedOperations: z
          .array(z.object({ block: z.int().min(0), operation: operationIndex, share }))
          .describe('operations that more than one agent trains in this round, each with the share of its difference that is pushed'),
      })
      .optional()
      .describe('a round of several agents; absent: the agent is alone, and all differences are pushed whole'),
  })
  .meta({ id: 'TrainWeights', description: 'Train weights on sampled paths, one per mini-batch, and push the differences.' })

const gateChoiceSchema = z.strictObject({
  active: operationIndex.describe('gate 1'),
  inactive: z.array(operationIndex).describe('gate 0; their gate gradients are wanted too'),
})

const gateGradientsSchema = z
  .strictObject({
    kind: z.literal('gateGradients'),
    firstStep: step.describe('number of the first architecture step; step i uses mini-batch firstStep + i of the architecture share'),
    steps: z.array(z.array(gateChoiceSchema).max(1024)).min(1).max(MAX_TASK_STEPS).describe('sampled gates, [step][block]'),
    alphaVersion: z.int().min(0).describe('version of alpha that the gates were sampled at'),
  })
  .meta({ id: 'GateGradients', description: 'Gradients of the cross-entropy by binary gates, weights frozen.' })

const evaluatePathsSchema = z
  .strictObject({
    kind: z.literal('evaluatePaths'),
    paths: z.array(pathSchema).min(1).max(MAX_TASK_STEPS),
    images: z.int().min(1).describe('how many images of the validation share, from its start'),
  })
  .meta({ id: 'EvaluatePaths', description: 'Accuracy of paths with shared weights on the validation share, batch statistics.' })

const taskWorkSchema = z.discriminatedUnion('kind', [trainWeightsSchema, gateGradientsSchema, evaluatePathsSchema])
type TaskWork = z.infer<typeof taskWorkSchema>
type WeightWork = z.infer<typeof trainWeightsSchema>
type TaskKind = TaskWork['kind']

const counts = {
  correct: z.int().min(0).describe('images classified rightly'),
  images: z.int().min(1).describe('images seen'),
}

const notMoreThanImages = (result: { correct: number; images: number }) => result.correct <= result.images
const moreThanImages = { path: ['correct'], message: 'expected at most as many as images' }

const trainWeightsResultSchema = z
  .strictObject({
    kind: z.literal('trainWeights'),
    loss: finite.describe('mean training loss, label smoothing included'),
    ...counts,
  })
  .refine(notMoreThanImages, moreThanImages)

const gateStepResultSchema = z
  .strictObject({
    crossEntropy: finite.min(0).describe('plain cross-entropy of the active path'),
    ...counts,
    gateGradients: z
      .array(z.array(finite).nullable())
      .describe('[block][0 = active, then inactive in the order of the task]; null where the active operation is Zero'),
  })
  .refine(notMoreThanImages, moreThanImages)

const gateGradientsResultSchema = z.strictObject({
  kind: z.literal('gateGradients'),
  steps: z.array(gateStepResultSchema).min(1).max(MAX_TASK_STEPS),
})

const evaluatePathsResultSchema = z.strictObject({
  kind: z.literal('evaluatePaths'),
  paths: z
    .array(z.strictObject({ crossEntropy: finite.min(0), ...counts }).refine(notMoreThanImages, moreThanImages))
    .min(1)
    .max(MAX_TASK_STEPS),
})

const taskResultSchema = z.discriminatedUnion('kind', [trainWeightsResultSchema, gateGradientsResultSchema, evaluatePathsResultSchema])
type TaskResult = z.infer<typeof taskResultSchema>
type ResultOf<K extends TaskKind> = Extract<TaskResult, { kind: K }>

const taskSchema = z
  .strictObject({
    taskId: taskIdSchema,
    leaseId: leaseIdSchema,
    leaseMs: z.int().describe('the lease ends this long after the answer, or after the last heartbeat'),
    work: taskWorkSchema,
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
  type ResultOf,
  type Task,
  type TaskKind,
  type TaskResult,
  taskResultSchema,
  taskSchema,
  type TaskWork,
  taskWorkSchema,
  type Timing,
  timingSchema,
  type WeightWork,
}
