// Names of the scores that networks are given without training (engine/scores/, docs/scores.md). Of each, more is better.

import * as z from 'zod'

const scoreNames = [
  'params',
  'macs',
  'l2_norm',
  'grad_norm',
  'plain',
  'snip',
  'grasp',
  'fisher',
  'synflow',
  'logsynflow',
  'jacob_cov',
  'naswot',
  'swap',
] as const
type ScoreName = (typeof scoreNames)[number]

const scoreNameSchema = z.enum(scoreNames)

/** Without repetition. */
const scoreNamesSchema = z
  .array(scoreNameSchema)
  .min(1)
  .refine((names) => new Set(names).size === names.length, { message: 'expected each score once' })

export { type ScoreName, scoreNames, scoreNamesSchema }
