import * as z from 'zod'
import { sharedWeightFields } from './shared-weights.ts'

const oneShotSchema = z
  .strictObject({
    name: z.literal('one-shot'),
    pathDropout: z
      .number()
      .min(0)
      .max(0.99)
      .default(0.05)
      .describe(
        'at the end of the training, probability that all k operations of a block are dropped: each of them by its k-th root; from 0 on it grows linearly',
      ),
    candidates: z.int().min(1).max(10_000).default(500).describe('random architectures within the target latency that are ranked'),
    ...sharedWeightFields,
  })
  .meta({ id: 'OneShot', description: 'One-Shot: all operations trained at once with path dropout, then a ranking with shared weights.' })
type OneShotConfig = z.infer<typeof oneShotSchema>

export { type OneShotConfig, oneShotSchema }
