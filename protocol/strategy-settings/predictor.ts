import * as z from 'zod'
import { trialFields } from './trials.ts'

const predictorSchema = z
  .strictObject({
    name: z.literal('predictor'),
    ...trialFields,
    starts: z.int().min(2).max(10_000).default(20).describe('random architectures that the first fit is on'),
    every: z.int().min(1).max(1000).default(10).describe('results from one fit to the next'),
    randomShare: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('share of the architectures that is drawn at random instead, after the first fit'),
    pool: z
      .int()
      .min(1)
      .max(100_000)
      .default(4000)
      .describe('random architectures that are ranked after a fit, beside the neighbours of the best'),
    hidden: z.int().min(1).max(128).default(16).describe('units in each of the two layers of the network'),
    epochs: z.int().min(1).max(1000).default(100).describe('steps of a fit, each on all pairs'),
    learningRate: z.number().positive().max(1).default(0.02).describe('of Adam, at the start of a fit; falls to 0 by a half cosine'),
    weightDecay: z.number().min(0).max(1).default(0.01).describe('decoupled, as in AdamW'),
  })
  .meta({ id: 'Predictor', description: 'Trains what a small network ranks first that has learnt to order pairs of what was trained.' })

export { predictorSchema }
