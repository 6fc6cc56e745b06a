import * as z from 'zod'
import { scoresOfMovesSchema } from './scores.ts'
import { trialFields } from './trials.ts'

const localSearchSchema = z
  .strictObject({
    name: z.literal('local-search'),
    ...trialFields,
    scores: scoresOfMovesSchema,
    starts: z.int().min(1).max(10_000).default(10).describe('random architectures at first, the best of which is where the search goes on'),
  })
  .meta({ id: 'LocalSearch', description: 'Moves to a better neighbour, one change away, until there is none; then goes on elsewhere.' })
type LocalSearchConfig = z.infer<typeof localSearchSchema>

export { type LocalSearchConfig, localSearchSchema }
