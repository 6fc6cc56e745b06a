import * as z from 'zod'
import { MAX_DECISIONS, MAX_TASK_STEPS } from '../limits.ts'
import {
  counts,
  crossEntropyMismatch,
  finite,
  imagesMismatch,
  type Mismatch,
  mixtureSchema,
  moreThanImages,
  notMoreThanImages,
  step,
  type TaskSetting,
} from './parts.ts'

const mixtureGradientsSchema = z
  .strictObject({
    kind: z.literal('mixtureGradients'),
    firstStep: step.describe('number of the first architecture step; step i uses mini-batch firstStep + i of the architecture share'),
    steps: z.int().min(1).max(MAX_TASK_STEPS).describe('architecture steps'),
    mixture: mixtureSchema.describe('factor of each operation in the sum of its block, [block][operation]'),
    unrolled: z
      .object({
        firstBatch: step.describe('step i looks ahead by a weight step on mini-batch firstBatch + i of the weight share'),
        position: z.number().min(0).describe('effective steps of the search, of which its learning rate follows'),
      })
      .optional()
      .describe('gradients after one weight step, and through it (second order); absent: with the weights as they are'),
    alphaVersion: z.int().min(0).describe('version of alpha that the mixture is of'),
  })
  .meta({ id: 'MixtureGradients', description: 'Gradients of the cross-entropy by the factors of all operations, weights frozen.' })
type MixtureWork = z.infer<typeof mixtureGradientsSchema>

const mixtureGradientsResultSchema = z.strictObject({
  kind: z.literal('mixtureGradients'),
  steps: z
    .array(
      z
        .strictObject({
          crossEntropy: finite.min(0).describe('of the mixture, after the weight step where it is unrolled'),
          ...counts,
          gradients: z.array(z.array(finite)).max(MAX_DECISIONS).describe('[block][operation]'),
        })
        .refine(notMoreThanImages, moreThanImages),
    )
    .min(1)
    .max(MAX_TASK_STEPS),
})

function mixtureGradientsMismatch(
  work: MixtureWork,
  { steps }: z.infer<typeof mixtureGradientsResultSchema>,
  { decisions, batchSize }: TaskSetting,
): Mismatch | null {
  if (steps.length !== work.steps) return { path: 'result.steps', message: `expected ${work.steps} steps, got ${steps.length}` }
  for (const [i, { gradients, crossEntropy, images }] of steps.entries()) {
    const path = `result.steps[${i}].gradients`
    const mismatch =
      crossEntropyMismatch(`result.steps[${i}].crossEntropy`, crossEntropy) ??
      imagesMismatch(`result.steps[${i}].images`, images, batchSize)
    if (mismatch) return mismatch
    if (gradients.length !== decisions.length) return { path, message: `expected ${decisions.length} blocks, got ${gradients.length}` }
    const block = decisions.findIndex(({ options }, index) => options.length !== gradients[index]?.length)
    if (block === -1) continue
    const message = `expected ${decisions[block]?.options.length} numbers, got ${gradients[block]?.length}`
    return { path: `${path}[${block}]`, message }
  }
  return null
}

export { mixtureGradientsMismatch, mixtureGradientsResultSchema, mixtureGradientsSchema, type MixtureWork }
