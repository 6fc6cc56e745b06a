// Settings of strategies that train architectures one by one, and of each of them.

import * as z from 'zod'
import { recipeSchema } from '../recipe.ts'

const trialFields = {
  trials: z.int().min(1).max(100_000).default(100).describe('architectures that are trained'),
  recipe: recipeSchema.prefault({}).describe('how each of them is trained: see docs/training.md'),
}

const randomTrialsSchema = z
  .strictObject({ name: z.literal('random'), ...trialFields })
  .meta({ id: 'RandomTrials', description: 'Random architectures within the target latency, each trained by itself.' })
type RandomTrialsConfig = z.infer<typeof randomTrialsSchema>

const agingEvolutionSchema = z
  .strictObject({
    name: z.literal('aging-evolution'),
    ...trialFields,
    population: z.int().min(1).max(10_000).default(20).describe('architectures that are alive: those whose results came last'),
    sample: z.int().min(1).max(10_000).default(10).describe('drawn from them; the best of the sample is the parent of the next one'),
  })
  .meta({ id: 'AgingEvolution', description: 'Regularised evolution: one change of the best of a sample of the youngest.' })
type AgingEvolutionConfig = z.infer<typeof agingEvolutionSchema>

const localSearchSchema = z
  .strictObject({
    name: z.literal('local-search'),
    ...trialFields,
    starts: z
      .int()
      .min(1)
      .max(10_000)
      .default(10)
      .describe('random architectures, the best of which is the first to be left for a better neighbour'),
  })
  .meta({ id: 'LocalSearch', description: 'Moves to a better neighbour, one change away, until there is none; then starts anew.' })
type LocalSearchConfig = z.infer<typeof localSearchSchema>

export {
  type AgingEvolutionConfig,
  agingEvolutionSchema,
  type LocalSearchConfig,
  localSearchSchema,
  type RandomTrialsConfig,
  randomTrialsSchema,
}
