// What is stored of a shard but its weights. A change of the form needs a migration (migrations/weights.ts).

import * as z from 'zod'
import { storedSpaceSchema } from '../../rules/stored/space.ts'

const shardSetupSchema = z.strictObject({
  searchId: z.string(),
  space: storedSpaceSchema,
  seed: z.int(),
  shard: z.int(),
  shardBytes: z.int(),
  encoding: z.enum(['fp32', 'bf16', 'int8']),
  staleness: z.enum(['inverse', 'none']),
})
type ShardSetup = z.infer<typeof shardSetupSchema>

export { type ShardSetup, shardSetupSchema }
