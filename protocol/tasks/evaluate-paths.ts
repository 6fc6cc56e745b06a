import * as z from 'zod'
import { MAX_TASK_STEPS } from '../limits.ts'
import { counts, crossEntropyMismatch, finite, type Mismatch, moreThanImages, notMoreThanImages, pathSchema, step } from './parts.ts'

const evaluatePathsSchema = z
  .strictObject({
    kind: z.literal('evaluatePaths'),
    paths: z.array(pathSchema).min(1).max(MAX_TASK_STEPS),
    images: z.int().min(1).optional().describe('how many images of the validation share, from its start'),
    batches: z
      .strictObject({
        first: step.describe('number of the first mini-batch'),
        count: z.int().min(1).max(MAX_TASK_STEPS),
      })
      .optional()
      .describe('instead of `images`: mini-batches of the architecture share, by number as in `gateGradients`'),
  })
  .refine(({ images, batches }) => (images === undefined) !== (batches === undefined), {
    path: ['images'],
    message: 'expected either images or batches',
  })
  .meta({
    id: 'EvaluatePaths',
    description: 'Accuracy of paths with shared weights on one share of the data, all on the same images, batch statistics.',
  })
type EvaluationWork = z.infer<typeof evaluatePathsSchema>

const evaluatePathsResultSchema = z.strictObject({
  kind: z.literal('evaluatePaths'),
  paths: z
    .array(z.strictObject({ crossEntropy: finite.min(0), ...counts }).refine(notMoreThanImages, moreThanImages))
    .min(1)
    .max(MAX_TASK_STEPS),
})

/** How many images there were is not looked at: only the part of them that is right counts, and a share may have fewer than were asked for. */
function evaluatePathsMismatch({ paths }: EvaluationWork, result: z.infer<typeof evaluatePathsResultSchema>): Mismatch | null {
  if (result.paths.length !== paths.length) {
    return { path: 'result.paths', message: `expected ${paths.length} paths, got ${result.paths.length}` }
  }
  const mismatches = result.paths.map(({ crossEntropy }, i) => crossEntropyMismatch(`result.paths[${i}].crossEntropy`, crossEntropy))
  return mismatches.find((mismatch) => mismatch !== null) ?? null
}

export { evaluatePathsMismatch, evaluatePathsResultSchema, evaluatePathsSchema, type EvaluationWork }
