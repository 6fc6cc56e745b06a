import * as z from 'zod'
import { costNameSchema } from '../bounds.ts'
import { scoresOfMovesSchema } from './scores.ts'
import { trialFields } from './trials.ts'

/** With more, hardly any candidate is dominated by another, and selection says nothing. */
const MAX_OBJECTIVES = 3

const agingEvolutionSchema = z
  .strictObject({
    name: z.literal('aging-evolution'),
    ...trialFields,
    scores: scoresOfMovesSchema,
    population: z.int().min(1).max(10_000).default(20).describe('architectures that are alive'),
    sample: z.int().min(1).max(10_000).default(10).describe('drawn from them; the best of the sample is the parent of the next one'),
    selection: z
      .enum(['age', 'nsga-2'])
      .optional()
      .describe(
        'which are alive. age (default): those whose results came last; nsga-2: those that trade accuracy best against `costs`, and the best of a sample is meant so too',
      ),
    costs: z.array(costNameSchema).min(1).max(MAX_OBJECTIVES).optional().describe('of nsga-2; default: ["latencyMs"]'),
  })
  .meta({ id: 'AgingEvolution', description: 'Regularised evolution: one change of the best of a sample of the youngest.' })
type AgingEvolutionConfig = z.infer<typeof agingEvolutionSchema>

export { type AgingEvolutionConfig, agingEvolutionSchema }
