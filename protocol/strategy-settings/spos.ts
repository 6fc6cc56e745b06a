import * as z from 'zod'
import { sharedWeightFields } from './shared-weights.ts'

const sposSchema = z
  .strictObject({
    name: z.literal('spos'),
    population: z.int().min(2).max(1000).default(50).describe('architectures of a generation'),
    generations: z.int().min(1).max(1000).default(20).describe('generations, the first one of random architectures included'),
    parents: z.int().min(1).max(1000).default(10).describe('best architectures so far, which the next generation is made from'),
    mutation: z.number().min(0).max(1).default(0.1).describe('probability that a mutation draws a decision anew'),
    ...sharedWeightFields,
  })
  .meta({ id: 'Spos', description: 'Single path one-shot: weights trained on uniform paths, then evolution within the target latency.' })
type SposConfig = z.infer<typeof sposSchema>

export { type SposConfig, sposSchema }
