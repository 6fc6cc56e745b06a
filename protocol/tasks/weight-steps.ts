// What the kinds of task that train weights have in common: which mini-batches, at which learning rate, with which threads and agents
// beside it. What a step runs is each kind's own.

import * as z from 'zod'
import { MAX_LANES, MAX_TASK_STEPS } from '../limits.ts'
import { counts, crossEntropyMismatch, finite, imagesMismatch, type Mismatch, operationIndex, step } from './parts.ts'

/** Of what an agent has learnt in a round; see round-shares.ts. */
const share = z.number().positive().max(1)

const weightStepFields = {
  firstStep: step.describe('global number of the first weight step; step i uses mini-batch firstStep + i of the weight share'),
  lanes: z
    .object({
      count: z.int().min(1).max(MAX_LANES).describe('steps that are done side by side; step i · lanes + l is step i of lane l'),
      mergeEvery: z.int().min(1).max(MAX_TASK_STEPS).describe('steps of each lane after which what the lanes have learnt is put together'),
    })
    .optional()
    .describe('how the threads of one machine share the task; absent: one step after the other'),
  schedule: z
    .object({
      from: z.number().min(0).describe('effective steps of the search before the first local step'),
      perStep: z.number().min(0).describe('effective steps that each local step moves on'),
      counts: z.number().min(0).describe('effective steps that this task counts for'),
    })
    .optional()
    .describe('where the learning rate is; absent: firstStep, 1, and the number of steps'),
  round: z
    .object({
      members: z.int().min(2).describe('agents in this round'),
      commonShare: share.describe('share of their difference that is pushed of weights that every path has'),
      sharedOperations: z
        .array(z.object({ block: z.int().min(0), operation: operationIndex, share }))
        .describe('operations that more than one agent trains in this round, each with the share of its difference that is pushed'),
      parts: z
        .array(z.array(z.array(operationIndex)))
        .optional()
        .describe(
          'the options of each decision that each agent of the round may train; there where options share weights, to tell which elements more than one agent trains',
        ),
      velocities: z.boolean().optional().describe('whether the velocities of operations are pulled and pushed with them'),
    })
    .optional()
    .describe('a round of several agents; absent: the agent is alone, and all differences are pushed whole'),
}

/** Loss and counts of a whole task. */
const weightResultFields = { loss: finite.describe('mean training loss, label smoothing included'), ...counts }

/** @param images mini-batches trained, times the images of one */
function weightStepsMismatch(result: { readonly loss: number; readonly images: number }, images: number): Mismatch | null {
  return crossEntropyMismatch('result.loss', result.loss) ?? imagesMismatch('result.images', result.images, images)
}

export { weightResultFields, weightStepFields, weightStepsMismatch }
