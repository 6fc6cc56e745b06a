// Settings that strategies have in common which train architectures one by one.

import * as z from 'zod'
import { recipeSchema } from '../recipe.ts'
import { scoresSchema } from './scores.ts'

const recipeOfTrials = {
  trials: z.int().min(1).max(100_000).default(100).describe('architectures that are trained'),
  recipe: recipeSchema.prefault({}).describe('how each of them is trained, as `gatehouse train` would'),
}

const trialFields = { ...recipeOfTrials, scores: scoresSchema }

export { recipeOfTrials, trialFields }
