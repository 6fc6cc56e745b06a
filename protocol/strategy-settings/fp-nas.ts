import * as z from 'zod'
import { importanceFields } from './importance.ts'

const fpNasSchema = z
  .strictObject({
    name: z.literal('fp-nas'),
    lambda: z.number().positive().max(100).default(0.25).describe('samples of an architecture step per nat of entropy of the distribution'),
    leastSamples: z.int().min(1).max(1000).default(2).describe('samples of a step at least'),
    mostSamples: z.int().min(1).max(1000).default(64).describe('samples of a step at most'),
    ...importanceFields,
  })
  .meta({ id: 'FpNas', description: 'FP-NAS: PARSEC with as many samples as the distribution still has entropy.' })
type FpNasConfig = z.infer<typeof fpNasSchema>

export { type FpNasConfig, fpNasSchema }
