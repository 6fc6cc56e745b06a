import * as z from 'zod'
import { MAX_TASK_STEPS } from '../limits.ts'
import { finite, type Mismatch, pathSchema } from './parts.ts'

const batchNormScalesSchema = z
  .strictObject({
    kind: z.literal('batchNormScales'),
    paths: z.array(pathSchema).min(1).max(MAX_TASK_STEPS),
  })
  .meta({
    id: 'BatchNormScales',
    description: 'What the batch-norms of paths say with shared weights: no images are looked at.',
  })

const batchNormScalesResultSchema = z.strictObject({
  kind: z.literal('batchNormScales'),
  scales: z
    .array(finite.min(0))
    .min(1)
    .max(MAX_TASK_STEPS)
    .describe('of each path, summed over its blocks: the mean absolute scale of the last batch-norm of a block'),
})

function batchNormScalesMismatch(
  { paths }: z.infer<typeof batchNormScalesSchema>,
  { scales }: z.infer<typeof batchNormScalesResultSchema>,
): Mismatch | null {
  if (scales.length === paths.length) return null
  return { path: 'result.scales', message: `expected ${paths.length} numbers, one per path, got ${scales.length}` }
}

export { batchNormScalesMismatch, batchNormScalesResultSchema, batchNormScalesSchema }
