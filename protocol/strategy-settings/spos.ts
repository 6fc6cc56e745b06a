import * as z from 'zod'

const sposSchema = z
  .strictObject({
    name: z.literal('spos'),
    population: z.int().min(2).max(1000).default(50).describe('architectures of a generation'),
    generations: z.int().min(1).max(1000).default(20).describe('generations, the first one of random architectures included'),
    parents: z.int().min(1).max(1000).default(10).describe('best architectures so far, which the next generation is made from'),
    mutation: z.number().min(0).max(1).default(0.1).describe('probability that a mutation draws a decision anew'),
    images: z
      .int()
      .min(1)
      .default(1000)
      .describe('images of the architecture share that each architecture is evaluated on, the same for all; rounded to whole mini-batches'),
    candidatesPerTask: z.int().min(1).max(1000).default(5).describe('architectures that one task evaluates'),
  })
  .meta({ id: 'Spos', description: 'Single path one-shot: weights trained on uniform paths, then evolution within the target latency.' })
type SposConfig = z.infer<typeof sposSchema>

export { type SposConfig, sposSchema }
