import * as z from 'zod'
import { MAX_REPORTS } from '../limits.ts'
import { recipeSchema } from '../recipe.ts'
import { counts, finite, type Mismatch, moreThanImages, notMoreThanImages, pathSchema, step } from './parts.ts'

const parentSchema = z
  .strictObject({ trial: z.int().min(0).describe('number of the trial'), path: pathSchema.describe('its architecture') })
  .describe(
    "a trial whose last checkpoint is what the coordinator answers for the task's, as long as the task has none of its own; its weights are widened and deepened to the path",
  )

const trainArchitectureSchema = z
  .strictObject({
    kind: z.literal('trainArchitecture'),
    path: pathSchema,
    start: z
      .union([z.enum(['scratch', 'supernet']), parentSchema])
      .describe(
        'weights to begin with: random ones of the seed; those of the supernet, which stay as they are; or those of another trial, grown',
      ),
    recipe: recipeSchema,
    seed: z.int().min(0).max(0xff_ff_ff_ff).describe('of weights, order and augmentation; the shares are those of the seed of the search'),
    trial: z
      .int()
      .min(0)
      .optional()
      .describe('number of the trial within its search: its checkpoint is kept under it, and tasks of one trial go on from each other'),
    isParent: z.literal(true).optional().describe('other trials may start from its weights: a checkpoint is delivered at its end as well'),
    epochs: z
      .number()
      .positive()
      .max(100_000)
      .optional()
      .describe("of the recipe's, after which the network is measured and left for now, with a checkpoint; left out: all of them"),
  })
  .meta({ id: 'TrainArchitecture', description: 'Train one architecture by a recipe of its own, and measure it on the validation share.' })

const accuracy = z.number().min(0).max(1)

const trainArchitectureResultSchema = z.strictObject({
  kind: z.literal('trainArchitecture'),
  end: z
    .enum(['finished', 'stopped', 'diverged'])
    .describe("stopped: by the recipe's stopBelow; diverged: the loss was no number any more, whoever trains it"),
  steps: step.describe('mini-batches that the network has been trained for, by whomever'),
  seconds: z.number().min(0).max(1e12).describe('that the agent spent which delivers it'),
  validation: z
    .strictObject({ crossEntropy: finite.min(0), ...counts })
    .refine(notMoreThanImages, moreThanImages)
    .nullable()
    .describe('at the end; null where it diverged'),
  curve: z
    .array(
      z.strictObject({
        step,
        loss: finite.min(0),
        accuracy: accuracy.nullable().describe('on the validation share, where that was looked at'),
      }),
    )
    .max(MAX_REPORTS)
    .describe('at the end of each epoch'),
})

function trainArchitectureMismatch(
  { recipe, epochs }: z.infer<typeof trainArchitectureSchema>,
  { end, steps, validation, curve }: z.infer<typeof trainArchitectureResultSchema>,
): Mismatch | null {
  if ((validation === null) !== (end === 'diverged')) {
    return { path: 'result.validation', message: end === 'diverged' ? 'expected null, since it diverged' : 'expected what was measured' }
  }
  if (end === 'stopped' && !recipe.stopBelow) return { path: 'result.end', message: 'expected no stop: the recipe has no stopBelow' }
  const mayEndEarly = end !== 'finished' || recipe.patience !== undefined || epochs !== undefined
  if (recipe.steps !== undefined && (steps > recipe.steps || (!mayEndEarly && steps < recipe.steps))) {
    return { path: 'result.steps', message: `expected ${recipe.steps}, got ${steps}` }
  }
  const unordered = curve.findIndex((point, i) => point.step <= (curve[i - 1]?.step ?? 0) || point.step > steps)
  if (unordered === -1) return null
  return { path: `result.curve[${unordered}].step`, message: `expected steps that grow, up to ${steps}` }
}

export { trainArchitectureMismatch, trainArchitectureResultSchema, trainArchitectureSchema }
