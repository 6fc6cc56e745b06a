import * as z from 'zod'
import { MAX_TASK_STEPS } from '../limits.ts'
import { type Mismatch, moreThanImages, notMoreThanImages, pathSchema, type TaskSetting } from './parts.ts'
import { weightResultFields, weightStepFields, weightStepsMismatch } from './weight-steps.ts'

const PAIR = 2

/** Paths of each step, all on its mini-batch. */
function pathsPerStep({
  samples,
  consistency,
}: {
  readonly samples?: { readonly count: number } | undefined
  readonly consistency?: unknown
}): number {
  return samples?.count ?? (consistency ? PAIR : 1)
}

const trainWeightsSchema = z
  .strictObject({
    kind: z.literal('trainWeights'),
    ...weightStepFields,
    paths: z
      .array(pathSchema)
      .min(1)
      .max(MAX_TASK_STEPS)
      .describe('the path of each step; with `samples`, paths i · count to i · count + count − 1 are those of step i'),
    samples: z
      .object({
        count: z.int().min(2).max(MAX_TASK_STEPS).describe('paths of a step, all on its mini-batch'),
        temper: z.number().positive().describe('factor of their mean cross-entropies in the exponents of their weights'),
      })
      .optional()
      .describe('several paths in a step, whose gradients are added up, each with its importance; absent: one path'),
    consistency: z
      .strictObject({
        weight: z.number().positive().max(1).describe('share of the other path in the loss of each; the labels have the rest'),
        temperature: z.number().positive().max(100).describe('divides the logits of both'),
      })
      .optional()
      .describe(
        'two paths in a step, 2 · i and 2 · i + 1, both on its mini-batch, which learn from its labels and from what the other says of the images; absent: from labels alone',
      ),
    trained: z
      .literal('batch-norms')
      .optional()
      .describe('what is trained of the paths: scales and offsets of batch-norms alone; absent: all of their weights'),
  })
  .refine(({ samples, consistency }) => !samples || !consistency, {
    path: ['consistency'],
    message: 'expected none beside samples',
  })
  .refine((work) => work.paths.length % pathsPerStep(work) === 0, {
    path: ['paths'],
    message: 'expected as many paths in each step',
  })
  .meta({ id: 'TrainWeights', description: 'Train weights on sampled paths, and push the differences.' })
type WeightPaths = z.infer<typeof trainWeightsSchema>

const trainWeightsResultSchema = z
  .strictObject({
    kind: z.literal('trainWeights'),
    ...weightResultFields,
    effectiveSamples: z
      .number()
      .min(1)
      .optional()
      .describe('how many paths the importances of a step amount to, on average; with `samples`'),
  })
  .refine(notMoreThanImages, moreThanImages)

function samplesMismatch({ samples }: WeightPaths, { effectiveSamples }: z.infer<typeof trainWeightsResultSchema>): Mismatch | null {
  if (!samples)
    return effectiveSamples === undefined ? null : { path: 'result.effectiveSamples', message: 'expected none, without samples' }
  // Rounding may leave a little more than all of them.
  if (effectiveSamples !== undefined && effectiveSamples <= samples.count + 0.5) return null
  return { path: 'result.effectiveSamples', message: `expected 1 to ${samples.count}, got ${effectiveSamples ?? 'none'}` }
}

function trainWeightsMismatch(
  work: WeightPaths,
  result: z.infer<typeof trainWeightsResultSchema>,
  { batchSize }: TaskSetting,
): Mismatch | null {
  const steps = work.paths.length / pathsPerStep(work)
  return weightStepsMismatch(result, steps * batchSize) ?? samplesMismatch(work, result)
}

export { pathsPerStep, trainWeightsMismatch, trainWeightsResultSchema, trainWeightsSchema, type WeightPaths }
