import * as z from 'zod'
import { MAX_DECISIONS, MAX_TASK_STEPS } from '../limits.ts'
import type { Space } from '../../search-space/index.ts'
import { type Mismatch, mixtureSchema, moreThanImages, notMoreThanImages, operationIndex, type TaskSetting } from './parts.ts'
import { weightResultFields, weightStepFields, weightStepsMismatch } from './weight-steps.ts'

const trainMixturesSchema = z
  .strictObject({
    kind: z.literal('trainMixtures'),
    ...weightStepFields,
    steps: z.int().min(1).max(MAX_TASK_STEPS).describe('mini-batches'),
    mixture: mixtureSchema.optional().describe('factor of each operation in the sum of its block, [block][operation]; absent: 1'),
    dropped: z
      .array(z.array(z.array(operationIndex)).max(MAX_DECISIONS))
      .max(MAX_TASK_STEPS)
      .optional()
      .describe('operations that are left out of a step, [step][block]; absent: none'),
  })
  .refine(({ steps, dropped }) => dropped === undefined || dropped.length === steps, {
    path: ['dropped'],
    message: 'expected as many as steps',
  })
  .meta({ id: 'TrainMixtures', description: 'Train the weights of all operations of each block at once, and push the differences.' })
type WeightMixtures = z.infer<typeof trainMixturesSchema>

const trainMixturesResultSchema = z
  .strictObject({ kind: z.literal('trainMixtures'), ...weightResultFields })
  .refine(notMoreThanImages, moreThanImages)

/** Loss and counts are of the whole task. */
function trainMixturesMismatch(
  { steps }: WeightMixtures,
  result: z.infer<typeof trainMixturesResultSchema>,
  { batchSize }: TaskSetting,
): Mismatch | null {
  return weightStepsMismatch(result, steps * batchSize)
}

/** The operations of each block that run in a step. */
function keptOperations({ dropped }: WeightMixtures, step: number, { decisions }: Pick<Space, 'decisions'>): number[][] {
  return decisions.map(({ options }, block) => {
    const out = dropped?.[step]?.[block] ?? []
    return options.flatMap((_, operation) => (out.includes(operation) ? [] : [operation]))
  })
}

export { keptOperations, trainMixturesMismatch, trainMixturesResultSchema, trainMixturesSchema, type WeightMixtures }
