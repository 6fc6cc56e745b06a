// Settings of the parametric MBConv space and their presets. ProxylessNAS (Cai, Zhu and Han, 2019), section 4.2 and
// its authors' code; MBConv is the inverted residual of MobileNetV2 (Sandler et al., 2018).

import * as z from 'zod'

/** Bounds that keep a typing error from asking for a network of gigabytes. */
const MAX_SIDE = 1024
const MAX_INPUT_CHANNELS = 64
const MAX_WIDTH = 8192
const MAX_CLASSES = 100_000
const MAX_CELLS = 64
/** A search keeps a few numbers per operation in one row of storage, and every weight's name in memory. */
const MAX_BLOCKS = 256
const MAX_OPERATIONS = 4096

const width = z.int().min(1).max(MAX_WIDTH)
const KERNELS = [1, 3, 5, 7] as const
const STRIDES = [1, 2] as const
// The generator of the OpenAPI document knows only the first value of a literal; `enum` names them all.
const kernel = z.literal(KERNELS).meta({ description: 'side of the depthwise kernel: 1, 3, 5 or 7', enum: [...KERNELS] })
const stride = z.literal(STRIDES).meta({ enum: [...STRIDES] })

const expansion = z.int().min(1).max(16)

const optionSchema = z.union([z.enum(['identity', 'zero']), z.strictObject({ expansion, kernel })])
/** An operation as settings name it. */
type MbconvOption = z.infer<typeof optionSchema>

/** Settings without their defaults, which must not stand in for what a preset says. */
const mbconvFields = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'expected lower-case letters, digits, ".", "_" or "-", 64 at most')
    .describe('name that architectures of this space start with'),
  input: z
    .tuple([z.int().min(1).max(MAX_SIDE), z.int().min(1).max(MAX_SIDE), z.int().min(1).max(MAX_INPUT_CHANNELS)])
    .describe('height, width and channels of an image'),
  classes: z.int().min(2).max(MAX_CLASSES),
  widthMult: z.number().positive().max(10).describe('factor on all widths, which are then rounded to multiples of 8'),
  stem: z.strictObject({ width, stride }).describe('first 3×3 convolution'),
  firstBlock: z.strictObject({ width, kernel }).nullable().describe('a fixed MBConv with expansion 1 behind the stem, or null'),
  stages: z
    .array(z.strictObject({ width, cells: z.int().min(1).max(MAX_CELLS), stride }))
    .min(1)
    .max(32)
    .describe('groups of blocks of one width; the stride is that of the first block of the group'),
  kernels: z.array(kernel).min(1).describe('kernel sizes to choose from'),
  expansions: z.array(expansion).min(1).describe('expansion ratios to choose from'),
  zero: z.boolean().describe('whether a block with a shortcut may be skipped'),
  operations: z
    .array(optionSchema)
    .min(1)
    .describe(
      'operations to choose from, in this order: MBConvs; `zero`, which only blocks with a shortcut have, and skips them; `identity`, which skips them too and elsewhere is a 1×1 convolution with batch-norm',
    ),
  headWidth: width.nullable().describe('channels of the last 1×1 convolution, or null for none'),
  batchNormEpsilon: z.number().positive().describe('added to the variance'),
}

const withDefaults = z.strictObject({
  ...mbconvFields,
  widthMult: mbconvFields.widthMult.default(1),
  firstBlock: mbconvFields.firstBlock.default(null),
  zero: mbconvFields.zero.default(true),
  batchNormEpsilon: mbconvFields.batchNormEpsilon.default(1e-3),
})
const gridConfigSchema = withDefaults
  .omit({ operations: true })
  .meta({ id: 'MbconvSpace', description: 'A space of MBConv networks: every expansion with every kernel.' })
const listConfigSchema = withDefaults
  .omit({ kernels: true, expansions: true, zero: true })
  .meta({ id: 'MbconvListSpace', description: 'A space of MBConv networks whose operations are listed.' })
type MbconvConfig = z.infer<typeof gridConfigSchema> | z.infer<typeof listConfigSchema>

const mbconvPresets = {
  'proxyless-mobile': {
    name: 'proxyless-mobile',
    input: [224, 224, 3],
    classes: 1000,
    widthMult: 1,
    stem: { width: 32, stride: 2 },
    firstBlock: { width: 16, kernel: 3 },
    stages: [
      { width: 24, cells: 4, stride: 2 },
      { width: 40, cells: 4, stride: 2 },
      { width: 80, cells: 4, stride: 2 },
      { width: 96, cells: 4, stride: 1 },
      { width: 192, cells: 4, stride: 2 },
      { width: 320, cells: 1, stride: 1 },
    ],
    kernels: [3, 5, 7],
    expansions: [3, 6],
    zero: true,
    headWidth: 1280,
    batchNormEpsilon: 1e-3,
  },
  'fashion-mini': {
    name: 'fashion-mini',
    input: [28, 28, 1],
    classes: 10,
    widthMult: 1,
    stem: { width: 16, stride: 2 },
    firstBlock: { width: 8, kernel: 3 },
    stages: [
      { width: 16, cells: 2, stride: 2 },
      { width: 24, cells: 2, stride: 1 },
      { width: 32, cells: 2, stride: 1 },
    ],
    kernels: [3, 5, 7],
    expansions: [3, 6],
    zero: true,
    headWidth: 64,
    batchNormEpsilon: 1e-3,
  },
  // No choice to make: the network of Sandler et al. 2018, table 2, to compare with. Its widths are set by widthMult.
  'mobilenet-v2': {
    name: 'mobilenet-v2',
    input: [224, 224, 3],
    classes: 1000,
    widthMult: 1,
    stem: { width: 32, stride: 2 },
    firstBlock: { width: 16, kernel: 3 },
    stages: [
      { width: 24, cells: 2, stride: 2 },
      { width: 32, cells: 3, stride: 2 },
      { width: 64, cells: 4, stride: 2 },
      { width: 96, cells: 3, stride: 1 },
      { width: 160, cells: 3, stride: 2 },
      { width: 320, cells: 1, stride: 1 },
    ],
    kernels: [3],
    expansions: [6],
    zero: false,
    headWidth: 1280,
    batchNormEpsilon: 1e-3,
  },
  // The 3⁸ networks of NAS-Bench-Macro (Su et al. 2021, arXiv 2103.11922), operations in the order of its digits, batch-norm as
  // in its authors' code. Their networks have ReLU where these have ReLU6.
  'nas-bench-macro': {
    name: 'nas-bench-macro',
    input: [32, 32, 3],
    classes: 10,
    widthMult: 1,
    stem: { width: 32, stride: 1 },
    firstBlock: null,
    stages: [
      { width: 64, cells: 2, stride: 2 },
      { width: 128, cells: 3, stride: 2 },
      { width: 256, cells: 3, stride: 2 },
    ],
    operations: ['identity', { expansion: 3, kernel: 3 }, { expansion: 6, kernel: 5 }],
    headWidth: 1280,
    batchNormEpsilon: 1e-5,
  },
} satisfies Record<string, MbconvConfig>

export {
  expansion,
  gridConfigSchema,
  kernel,
  listConfigSchema,
  MAX_BLOCKS,
  MAX_CELLS,
  MAX_INPUT_CHANNELS,
  MAX_OPERATIONS,
  MAX_SIDE,
  MAX_WIDTH,
  type MbconvConfig,
  mbconvFields,
  type MbconvOption,
  mbconvPresets,
  stride,
  width,
}
