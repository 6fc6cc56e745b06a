import * as z from 'zod'
import { adam, entropy, evaluation, finalists, learningRate, start, warmup } from './alpha.ts'

const dartsSchema = z
  .strictObject({
    name: z.literal('darts'),
    order: z
      .enum(['first', 'second'])
      .default('first')
      .describe('gradients of alpha with the weights as they are, or after the next weight step and through it, by finite differences'),
    ...warmup,
    archEvery: z.int().min(1).max(10_000).default(1).describe('weight steps per architecture step'),
    learningRate: learningRate.default(3e-4),
    ...adam,
    beta1: adam.beta1.default(0.5),
    alphaDecay: z.number().min(0).max(1).default(1e-3).describe('weight decay of alpha'),
    ...start,
    entropy,
    finalists,
    maxStaleness: z.int().min(0).default(64).describe('gradients of mixtures of more alpha versions ago than this are dropped and counted'),
    ...evaluation,
  })
  .meta({ id: 'Darts', description: 'DARTS: all operations of a block at once, mixed by the softmax of alpha.' })
type DartsConfig = z.infer<typeof dartsSchema>

export { type DartsConfig, dartsSchema }
