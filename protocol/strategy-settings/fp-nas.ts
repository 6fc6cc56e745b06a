import * as z from 'zod'
import { importanceFields } from './importance.ts'

const fpNasSchema = z
  .strictObject({
    name: z.literal('fp-nas'),
    lambda: z.number().positive().max(100).default(0.25).describe('samples of an architecture step per nat of entropy of the distribution'),
    leastSamples: z.int().min(1).max(1000).default(2).describe('samples of a step at least'),
    mostSamples: z.int().min(1).max(1000).default(64).describe('samples of a step at most'),
    jointFrom: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        'share of training.steps after which the decisions of one place, whose names differ after their last dot alone, are taken together: one softmax over their combinations, at first with the same probabilities; default: never',
      ),
    ...importanceFields,
  })
  .meta({ id: 'FpNas', description: 'FP-NAS: PARSEC with as many samples as the distribution still has entropy.' })
type FpNasConfig = z.infer<typeof fpNasSchema>

export { type FpNasConfig, fpNasSchema }
