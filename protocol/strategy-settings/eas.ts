import * as z from 'zod'
import { adam, learningRate } from './alpha.ts'
import { recipeOfTrials } from './trials.ts'

const MAX_ACTIONS = 20

const easSchema = z
  .strictObject({
    name: z.literal('eas'),
    ...recipeOfTrials,
    round: z
      .int()
      .min(1)
      .max(10_000)
      .default(10)
      .describe('trainings after which networks grow out of the best one so far, instead of that before'),
    widerActions: z.int().min(0).max(MAX_ACTIONS).default(1).describe('actions that widen a block of a new network'),
    deeperActions: z.int().min(0).max(MAX_ACTIONS).default(1).describe('actions after these that put a block into it'),
    baselineRate: z
      .number()
      .positive()
      .max(1)
      .default(0.05)
      .describe('of the moving average of rewards that is taken from each: b ← b + rate · (reward − b)'),
    entropyWeight: z.number().min(0).max(10).default(1e-5).describe('bonus for the entropy of each action, per nat'),
    learningRate: learningRate.default(0.1),
    ...adam,
    beta1: adam.beta1.unwrap().default(0.9).describe("Adam's decay of the first moment"),
  })
  .meta({
    id: 'Eas',
    description:
      'Networks that grow with the weights that they have, wider and deeper, as a policy says that learns from what they come to.',
  })

export { easSchema }
