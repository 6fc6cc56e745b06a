// Settings of a fixed network: one operation per block, an MBConv with a kernel, stride, expansion and width of its own or
// an identity. For networks that no stage plan describes, such as published ones and those that a search has found.

import * as z from 'zod'
import { expansion, kernel, MAX_BLOCKS, mbconvFields, stride, width } from '../mbconv/config.ts'

const { name, input, classes, stem, headWidth, batchNormEpsilon } = mbconvFields

const fixedBlockSchema = z.union([
  z.literal('zero').describe('a block that is skipped'),
  z.strictObject({
    operation: z
      .literal('identity')
      .describe('skips the block where stride is 1 and the channels match, and elsewhere is a 1×1 convolution with batch-norm'),
    stride,
    width,
  }),
  z.strictObject({
    expansion,
    kernel,
    stride,
    width,
    shortcut: z
      .boolean()
      .optional()
      .describe('whether the input is added to the output (left out: where stride is 1 and the channels match)'),
  }),
])

const fixedNetworkSchema = z
  .strictObject({
    name,
    input,
    classes,
    stem,
    blocks: z
      .array(fixedBlockSchema)
      .min(1)
      .max(MAX_BLOCKS)
      .describe('what is behind the stem, in order: MBConvs, identities, and `zero` for a block that is skipped'),
    headWidth,
    batchNormEpsilon: batchNormEpsilon.default(1e-3),
  })
  .meta({ id: 'FixedNetwork', description: 'A space with exactly one operation per block.' })
type FixedNetwork = z.infer<typeof fixedNetworkSchema>
type FixedBlock = FixedNetwork['blocks'][number]

export { type FixedBlock, type FixedNetwork, fixedNetworkSchema }
