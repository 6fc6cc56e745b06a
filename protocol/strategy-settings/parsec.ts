import * as z from 'zod'
import { adam, evaluation, learningRate, start, warmupSteps } from './alpha.ts'
import { importanceFields } from './importance.ts'

const parsecSchema = z
  .strictObject({
    name: z.literal('parsec'),
    samples: z.int().min(1).max(1000).default(16).describe('architectures sampled in an architecture step'),
    ...importanceFields,
    warmupSteps,
    archEvery: z.int().min(1).max(10_000).default(10).describe('weight steps per architecture step'),
    learningRate: learningRate.default(0.05),
    ...adam,
    ...start,
    ...evaluation,
  })
  .meta({ id: 'Parsec', description: 'PARSEC: importance-weighted samples of a distribution over architectures.' })
type ParsecConfig = z.infer<typeof parsecSchema>

export { type ParsecConfig, parsecSchema }
