// Settings of strategies that train architectures one by one, and score them before they do.

import * as z from 'zod'
import { MAX_TASK_STEPS } from '../limits.ts'
import { scoreNamesSchema } from '../scores.ts'

const MAX_WARMUP = 10_000

const scoreFields = {
  names: scoreNamesSchema.describe(
    'scores without training, more than one put together by the sum of the logarithms of their ranks; for example ["logsynflow"]',
  ),
  warmup: z
    .int()
    .min(0)
    .max(MAX_WARMUP)
    .default(1000)
    .describe('random architectures that are scored at first: the best of them are trained where a random one would be'),
  perTask: z.int().min(1).max(MAX_TASK_STEPS).default(20).describe('architectures that one task scores'),
}

const what = 'scores without training that say which architectures to train first; left out: none'

const scoresSchema = z.strictObject(scoreFields).optional().describe(what)

/** Of strategies that make the next architecture out of one that they have. */
const scoresOfMovesSchema = z
  .strictObject({
    ...scoreFields,
    moves: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('probability that the next architecture is the neighbour with the best score, instead of a random one; 0.75 for example'),
  })
  .optional()
  .describe(what)

export { scoresOfMovesSchema, scoresSchema }
