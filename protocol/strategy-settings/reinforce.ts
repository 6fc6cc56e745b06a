import * as z from 'zod'
import { adam, learningRate } from './alpha.ts'
import { trialFields } from './trials.ts'

const reinforceSchema = z
  .strictObject({
    name: z.literal('reinforce'),
    ...trialFields,
    baselineRate: z
      .number()
      .positive()
      .max(1)
      .default(0.1)
      .describe('of the moving average of accuracies that is taken from each: b ← b + rate · (accuracy − b)'),
    entropyWeight: z
      .number()
      .min(0)
      .max(10)
      .default(0)
      .describe('bonus for the entropy of the policy, per nat: keeps it from settling early'),
    learningRate: learningRate.default(0.1),
    ...adam,
    beta1: adam.beta1.unwrap().default(0.9).describe("Adam's decay of the first moment"),
  })
  .meta({ id: 'Reinforce', description: 'A policy over the decisions that follows the accuracy of what it samples.' })

export { reinforceSchema }
