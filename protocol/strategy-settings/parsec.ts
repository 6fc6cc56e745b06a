import * as z from 'zod'
import { importanceFields } from './importance.ts'

const parsecSchema = z
  .strictObject({
    name: z.literal('parsec'),
    samples: z.int().min(1).max(1000).default(16).describe('architectures sampled in an architecture step'),
    ...importanceFields,
  })
  .meta({ id: 'Parsec', description: 'PARSEC: importance-weighted samples of a distribution over architectures.' })
type ParsecConfig = z.infer<typeof parsecSchema>

export { type ParsecConfig, parsecSchema }
