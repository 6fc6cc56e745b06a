import * as z from 'zod'
import { scoresOfMovesSchema } from './scores.ts'
import { trialFields } from './trials.ts'

const agingEvolutionSchema = z
  .strictObject({
    name: z.literal('aging-evolution'),
    ...trialFields,
    scores: scoresOfMovesSchema,
    population: z.int().min(1).max(10_000).default(20).describe('architectures that are alive: those whose results came last'),
    sample: z.int().min(1).max(10_000).default(10).describe('drawn from them; the best of the sample is the parent of the next one'),
  })
  .meta({ id: 'AgingEvolution', description: 'Regularised evolution: one change of the best of a sample of the youngest.' })
type AgingEvolutionConfig = z.infer<typeof agingEvolutionSchema>

export { type AgingEvolutionConfig, agingEvolutionSchema }
