// Spaces as they are stored.

import * as z from 'zod'
import type { SpaceConfig, SpaceRef } from '../../search-space/index.ts'
import { storedAs } from './stored-form.ts'

const kernel = z.literal([1, 3, 5, 7])
const stride = z.literal([1, 2])
const stem = z.strictObject({ width: z.int(), stride })
const preset = z.enum(['proxyless-mobile', 'fashion-mini', 'mobilenet-v2'])
const input = z.tuple([z.int(), z.int(), z.int()])

const mbconvFields = {
  name: z.string(),
  input,
  classes: z.int(),
  widthMult: z.number(),
  stem,
  firstBlock: z.strictObject({ width: z.int(), kernel }).nullable(),
  stages: z.array(z.strictObject({ width: z.int(), cells: z.int(), stride })),
  kernels: z.array(kernel),
  expansions: z.array(z.int()),
  zero: z.boolean(),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
}

const fixedNetwork = z.strictObject({
  name: z.string(),
  input,
  classes: z.int(),
  stem,
  blocks: z.array(
    z.union([z.literal('zero'), z.strictObject({ expansion: z.int(), kernel, stride, width: z.int(), shortcut: z.boolean().optional() })]),
  ),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
})

const storedSpaceSchema = storedAs<SpaceConfig>()(z.union([z.strictObject(mbconvFields), fixedNetwork]))

const storedSpaceRefSchema = storedAs<SpaceRef>()(
  z.union([preset, z.strictObject({ ...z.object(mbconvFields).partial().shape, preset }), z.strictObject(mbconvFields), fixedNetwork]),
)

export { storedSpaceRefSchema, storedSpaceSchema }
