import * as z from 'zod'
import { agingEvolutionSchema } from './aging-evolution.ts'
import { localSearchSchema } from './local-search.ts'
import { predictorSchema } from './predictor.ts'
import { randomTrialsSchema } from './random-trials.ts'
import { reinforceSchema } from './reinforce.ts'
import { recipeOfTrials } from './trials.ts'

/** Number and recipe of the trials are those of the halving. */
const ownOf = { trials: true, recipe: true } as const

/** What may propose architectures: strategies that train them one by one. */
const proposerSchema = z.discriminatedUnion('name', [
  randomTrialsSchema.omit(ownOf).meta({ id: 'RandomProposer' }),
  agingEvolutionSchema.omit(ownOf).meta({ id: 'AgingEvolutionProposer' }),
  localSearchSchema.omit(ownOf).meta({ id: 'LocalSearchProposer' }),
  reinforceSchema.omit(ownOf).meta({ id: 'ReinforceProposer' }),
  predictorSchema.omit(ownOf).meta({ id: 'PredictorProposer' }),
])

const successiveHalvingSchema = z
  .strictObject({
    name: z.literal('successive-halving'),
    ...recipeOfTrials,
    leastEpochs: z.number().positive().max(100_000).default(1).describe('epochs of recipe.epochs that every architecture is trained for'),
    eta: z.int().min(2).max(100).default(3).describe('one of so many goes on, for so many times the epochs'),
    proposer: proposerSchema
      .prefault({ name: 'random' })
      .describe('who says which architecture is begun next: a strategy, with its settings'),
  })
  .meta({ id: 'SuccessiveHalving', description: 'Trains many architectures for a few epochs, and goes on with the best of them.' })

export { successiveHalvingSchema }
