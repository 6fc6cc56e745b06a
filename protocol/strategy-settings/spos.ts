import * as z from 'zod'
import { sharedWeightFields } from './shared-weights.ts'

const annealingSchema = z.strictObject({
  restarts: z.int().min(1).max(100).default(3).describe('chains of a generation, each from a random architecture'),
  moves: z
    .int()
    .min(20)
    .max(100_000)
    .default(2000)
    .describe('moves of a chain in which something worse may be taken; it ends after half as many refusals in a row'),
  slack: z.number().min(0).max(1).default(0.001).describe('by how much less the prediction may be of something worse that is taken'),
  products: z
    .boolean()
    .default(true)
    .describe('whether the regression has products of the decisions of one place, whose names differ after their last dot alone'),
  ridge: z.number().min(0).max(1e6).default(1).describe('penalty on the squares of its coefficients; 0: plain least squares'),
})

const preselectSchema = z.strictObject({
  keep: z.int().min(1).max(1000).default(4).describe('options of each decision that are searched, beside those that cost nothing'),
  latencyWeight: z
    .number()
    .min(0)
    .max(10)
    .default(1)
    .describe(
      'exponent of latency in the score of an option: what it computes and holds, divided by latency; 0: latency counts for nothing',
    ),
})

const consistencySchema = z.strictObject({
  weight: z.number().positive().max(1).default(0.5).describe('share of the other path in the loss of each; the labels have the rest'),
  temperature: z.number().positive().max(100).default(1).describe('divides the logits of both'),
})

const nearTargetSchema = z.strictObject({
  share: z.number().positive().max(1).default(0.15).describe('of the weight steps, the last ones'),
  least: z
    .number()
    .min(0)
    .max(1)
    .default(0.85)
    .describe('what such a path costs at least, as a share of the target latency, or of the one of all bounds that it costs most of'),
  restart: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('where the learning rate is when these steps begin, on its way to 0: at 0.5 it is half of the highest again'),
})

const sposSchema = z
  .strictObject({
    name: z.literal('spos'),
    population: z.int().min(2).max(1000).default(50).describe('architectures of a generation'),
    firstGeneration: z
      .int()
      .min(2)
      .max(10_000)
      .optional()
      .describe('architectures of the first generation, or of the first one of each stage; default: population'),
    generations: z.int().min(1).max(1000).default(20).describe('generations, the first one of random architectures included'),
    parents: z.int().min(1).max(1000).default(10).describe('best architectures so far, which the next generation is made from'),
    mutation: z.number().min(0).max(1).default(0.1).describe('probability that a mutation draws a decision anew'),
    search: z
      .enum(['evolution', 'annealing'])
      .optional()
      .describe(
        'how generations after the first are made: of the best so far, or by simulated annealing on a regression of what was evaluated (FOX-NAS); default: evolution',
      ),
    annealing: annealingSchema.optional().describe('with search = "annealing"; left out: its defaults'),
    preselect: preselectSchema
      .optional()
      .describe('leaves options out that are slow for what they can represent (HURRICANE); left out: all options are trained and searched'),
    stages: z
      .int()
      .min(1)
      .max(4)
      .optional()
      .describe(
        'parts in which the decisions are trained and searched, the last part first, each for its share of the steps and generations (HURRICANE: 2); default: 1',
      ),
    consistency: consistencySchema
      .optional()
      .describe(
        'two paths without a common operation on each mini-batch, each of which also learns from what the other says of the images (after Pi-NAS); left out: one path, from labels alone',
      ),
    nearTarget: nearTargetSchema
      .optional()
      .describe(
        'the last weight steps on paths alone that cost nearly as much as the search may spend, where what it answers will be; left out: on uniform paths, as all others',
      ),
    trained: z
      .enum(['all', 'batch-norms'])
      .optional()
      .describe('which weights are trained: all, or scales and offsets of batch-norms alone (BN-NAS); default: all'),
    score: z
      .enum(['accuracy', 'log-likelihood', 'batch-norms'])
      .optional()
      .describe(
        'what architectures are compared by: accuracy with shared weights; the mean logarithm of the probability of the labels, which tells more of a few hundred images; or the scales of the last batch-norm of each block (BN-NAS), which takes no images; default: accuracy',
      ),
    smoothing: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'part of a score that a linear regression on the options of all evaluated architectures says, when they are compared; the rest is their own. Shared weights suit one path more than another by chance, and what an option adds on average is known better; default: 0',
      ),
    ...sharedWeightFields,
  })
  .meta({ id: 'Spos', description: 'Single path one-shot: weights trained on uniform paths, then evolution within the target latency.' })
type SposConfig = z.infer<typeof sposSchema>

export { annealingSchema, type SposConfig, sposSchema }
