// Settings of spaces whose blocks choose kernel, non-linearity, attention, expansion and width, and their presets: FBNetV2 (Wan et al. 2020,
// arXiv 2004.05565) and FP-NAS (Yan et al. 2021, arXiv 2011.10949, tables 1 and 2).

import * as z from 'zod'
import { MAX_CELLS, MAX_WIDTH, mbconvFields, stride } from '../mbconv/config.ts'

const MAX_ROWS = 32
const MAX_EXPANSION = 16
const KERNELS = [0, 3, 5, 7] as const
const SPLITS = [0, 1, 2, 4] as const
const ACTIVATIONS = ['relu', 'swish'] as const

const { name, input, classes, batchNormEpsilon, headWidth } = mbconvFields

/** A range as the papers' tables have it. */
function range(number: z.ZodNumber) {
  return z.strictObject({ from: number, to: number, step: number }).describe('the numbers from `from` to `to` in steps of `step`')
}

const width = z.int().min(1).max(MAX_WIDTH)
const rowSchema = z.strictObject({
  expansions: range(z.number().positive().max(MAX_EXPANSION)).describe(
    'ratios of the channels within a block to those of its input; from and to may be equal',
  ),
  widths: range(width).describe('channels that the row’s blocks may end with; from and to may be equal'),
  blocks: z.int().min(1).max(MAX_CELLS),
  stride: stride.describe('of the first block'),
})

const literals = <const Values extends readonly [number, ...number[]]>(values: Values, description: string) =>
  z.literal([...values]).meta({ description, enum: [...values] })

const fbnetV2Fields = {
  family: z.literal('fbnet-v2'),
  name,
  input,
  classes,
  stem: z.strictObject({ width, stride }).describe('first 3×3 convolution'),
  rows: z.array(rowSchema).min(1).max(MAX_ROWS).describe('groups of blocks of one stride and one range of widths'),
  choices: z
    .enum(['row', 'block'])
    .describe('what chooses: `row` gives all blocks of a row the same, `block` gives every block choices of its own'),
  kernels: z
    .array(literals(KERNELS, 'side of the depthwise kernel; 0 skips the block, and is a 1×1 convolution where its shape changes'))
    .min(1)
    .describe('kernel sizes to choose from'),
  activations: z.array(z.enum(ACTIVATIONS)).min(1).describe('non-linearities to choose from'),
  splits: z
    .array(literals(SPLITS, '0 no attention; 1 squeeze-and-excitation; 2 or 4 Split-Attention over so many depthwise convolutions'))
    .min(1)
    .describe('attention to choose from'),
  outerActivation: z.enum(ACTIVATIONS).describe('of the stem and of the last 1×1 convolution'),
  attentionRatio: z.number().positive().max(1).describe('channels within the attention of a block, as a share of those that it weighs'),
  widthDivisor: width.describe('channels within blocks and within their attention are rounded up to multiples of this'),
  headWidth,
  batchNormEpsilon,
}

const fbnetV2ConfigSchema = z
  .strictObject({
    ...fbnetV2Fields,
    outerActivation: fbnetV2Fields.outerActivation.default('swish'),
    attentionRatio: fbnetV2Fields.attentionRatio.default(0.25),
    widthDivisor: fbnetV2Fields.widthDivisor.default(8),
    batchNormEpsilon: batchNormEpsilon.default(1e-3),
  })
  .meta({
    id: 'FbnetV2Space',
    description: 'A space of MBConv networks whose blocks choose kernel, non-linearity, attention, expansion and width.',
  })
type FbnetV2Config = z.infer<typeof fbnetV2ConfigSchema>
type Row = z.infer<typeof rowSchema>
type Kernel = FbnetV2Config['kernels'][number]
type Splits = FbnetV2Config['splits'][number]

const one = (value: number) => ({ from: value, to: value, step: 1 })
const wide = (from: number, to: number, step: number) => ({ from, to, step })
/** Table 1 of FP-NAS. */
const EXPANSIONS = { from: 0.75, to: 4.5, step: 0.75 }

/** Rows 1 to 10 of the table; row 0 is the stem. */
const fbnetV2Rows: Row[] = [
  { expansions: one(1), widths: wide(12, 16, 4), blocks: 1, stride: 1 },
  { expansions: EXPANSIONS, widths: wide(16, 24, 4), blocks: 1, stride: 2 },
  { expansions: EXPANSIONS, widths: wide(16, 24, 4), blocks: 2, stride: 1 },
  { expansions: EXPANSIONS, widths: wide(16, 40, 8), blocks: 1, stride: 2 },
  { expansions: EXPANSIONS, widths: wide(16, 40, 8), blocks: 2, stride: 1 },
  { expansions: EXPANSIONS, widths: wide(48, 80, 8), blocks: 1, stride: 2 },
  { expansions: EXPANSIONS, widths: wide(48, 80, 8), blocks: 2, stride: 1 },
  { expansions: EXPANSIONS, widths: wide(72, 112, 8), blocks: 3, stride: 1 },
  { expansions: EXPANSIONS, widths: wide(112, 184, 8), blocks: 1, stride: 2 },
  { expansions: EXPANSIONS, widths: wide(112, 184, 8), blocks: 3, stride: 1 },
]

const fbnetV2F = {
  family: 'fbnet-v2',
  name: 'fbnetv2-f',
  input: [224, 224, 3],
  classes: 1000,
  stem: { width: 16, stride: 2 },
  rows: fbnetV2Rows,
  choices: 'row',
  kernels: [0, 3, 5],
  activations: ['relu', 'swish'],
  splits: [0, 1],
  outerActivation: 'swish',
  attentionRatio: 0.25,
  widthDivisor: 8,
  headWidth: 1984,
  batchNormEpsilon: 1e-3,
} satisfies FbnetV2Config

const fbnetV2Presets = {
  'fbnetv2-f': fbnetV2F,
  'fbnetv2-f-fine': { ...fbnetV2F, name: 'fbnetv2-f-fine', choices: 'block' },
  // Published of FP-NAS-L0: input of 224, 27 blocks, wider and deeper than FBNetV2-F, Split-Attention, 2e32 networks (the paper's text and
  // table 6). Which rows have the further blocks and widths is not in any copy that could be read: these ones give that number to a few
  // percent.
  'fp-nas-l0': {
    ...fbnetV2F,
    name: 'fp-nas-l0',
    splits: [0, 1, 2, 4],
    rows: [
      { expansions: one(1), widths: wide(8, 24, 4), blocks: 1, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(16, 40, 4), blocks: 1, stride: 2 },
      { expansions: EXPANSIONS, widths: wide(16, 40, 4), blocks: 3, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(24, 64, 8), blocks: 1, stride: 2 },
      { expansions: EXPANSIONS, widths: wide(24, 64, 8), blocks: 4, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(48, 120, 8), blocks: 1, stride: 2 },
      { expansions: EXPANSIONS, widths: wide(48, 120, 8), blocks: 4, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(72, 160, 8), blocks: 5, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(112, 224, 16), blocks: 1, stride: 2 },
      { expansions: EXPANSIONS, widths: wide(112, 224, 16), blocks: 5, stride: 1 },
      { expansions: EXPANSIONS, widths: wide(184, 216, 16), blocks: 1, stride: 1 },
    ],
  },
  // Small enough to be searched in minutes on a processor, images of 28×28 or 32×32.
  'fbnetv2-mini': {
    ...fbnetV2F,
    name: 'fbnetv2-mini',
    input: [28, 28, 1],
    classes: 10,
    splits: [0, 1, 2],
    widthDivisor: 4,
    rows: [
      { expansions: one(1), widths: wide(8, 12, 4), blocks: 1, stride: 1 },
      { expansions: wide(1.5, 3, 1.5), widths: wide(16, 24, 4), blocks: 2, stride: 2 },
      { expansions: wide(1.5, 3, 1.5), widths: wide(24, 32, 8), blocks: 2, stride: 1 },
      { expansions: wide(1.5, 3, 1.5), widths: wide(32, 48, 8), blocks: 1, stride: 2 },
    ],
    headWidth: 64,
  },
} satisfies Record<string, FbnetV2Config>

export { type FbnetV2Config, fbnetV2ConfigSchema, fbnetV2Fields, fbnetV2Presets, type Kernel, type Row, type Splits }
