// Spaces as they are stored.

import * as z from 'zod'
import type { SpaceConfig, SpaceRef } from '../../search-space/index.ts'
import { storedAs } from './stored-form.ts'

const kernel = z.literal([1, 3, 5, 7])
const stride = z.literal([1, 2])
const stem = z.strictObject({ width: z.int(), stride })
const mbconvPreset = z.enum(['proxyless-mobile', 'fashion-mini', 'mobilenet-v2', 'nas-bench-macro'])
const cellPreset = z.enum(['nas-bench-201', 'cell-mini'])
const input = z.tuple([z.int(), z.int(), z.int()])

const mbconvFields = {
  name: z.string(),
  input,
  classes: z.int(),
  widthMult: z.number(),
  stem,
  firstBlock: z.strictObject({ width: z.int(), kernel }).nullable(),
  stages: z.array(z.strictObject({ width: z.int(), cells: z.int(), stride })),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
}
const gridFields = { ...mbconvFields, kernels: z.array(kernel), expansions: z.array(z.int()), zero: z.boolean() }
const operation = z.union([z.enum(['identity', 'zero']), z.strictObject({ expansion: z.int(), kernel })])
const listFields = { ...mbconvFields, operations: z.array(operation) }

const fixedNetwork = z.strictObject({
  name: z.string(),
  input,
  classes: z.int(),
  stem,
  blocks: z.array(
    z.union([
      z.literal('zero'),
      z.strictObject({ expansion: z.int(), kernel, stride, width: z.int(), shortcut: z.boolean().optional() }),
      z.strictObject({ operation: z.literal('identity'), stride, width: z.int() }),
    ]),
  ),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
})

const cellSettings = {
  name: z.string(),
  input,
  classes: z.int(),
  width: z.int(),
  stages: z.int(),
  cells: z.int(),
  nodes: z.int(),
  operations: z.array(z.enum(['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'])),
  batchNormEpsilon: z.number(),
}
const cellSpace = z.strictObject({ ...cellSettings, family: z.literal('cell') })

const fbnetV2Preset = z.enum(['fbnetv2-f', 'fbnetv2-f-fine', 'fp-nas-l0', 'fbnetv2-mini'])
const range = z.strictObject({ from: z.number(), to: z.number(), step: z.number() })
const activation = z.enum(['relu', 'swish'])
const fbnetV2Settings = {
  name: z.string(),
  input,
  classes: z.int(),
  stem,
  rows: z.array(z.strictObject({ expansions: range, widths: range, blocks: z.int(), stride })),
  choices: z.enum(['row', 'block']),
  kernels: z.array(z.literal([0, 3, 5, 7])),
  activations: z.array(activation),
  splits: z.array(z.literal([0, 1, 2, 4])),
  outerActivation: activation,
  attentionRatio: z.number(),
  widthDivisor: z.int(),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
}
const fbnetV2Space = z.strictObject({ ...fbnetV2Settings, family: z.literal('fbnet-v2') })

const dartsPreset = z.enum(['darts', 'darts-cifar10', 'darts-mini'])
const dartsSettings = {
  name: z.string(),
  input,
  classes: z.int(),
  width: z.int(),
  cells: z.int(),
  nodes: z.int(),
  operations: z.array(
    z.enum([
      ...(['none', 'max_pool_3x3', 'avg_pool_3x3', 'skip_connect'] as const),
      ...(['sep_conv_3x3', 'sep_conv_5x5', 'dil_conv_3x3', 'dil_conv_5x5'] as const),
    ]),
  ),
  batchNormEpsilon: z.number(),
}
const dartsSpace = z.strictObject({ ...dartsSettings, family: z.literal('darts') })

const aggregationPreset = z.enum([
  ...(['densenet-40-12', 'densenet-100-12', 'densenet-bc-100-12'] as const),
  ...(['sparsenet-40-24', 'sparsenet-100-24', 'sparsenet-100-36', 'sparsenet-100-16-32-64', 'sparsenet-bc-100-24'] as const),
  ...(['residual-40-16-32-64', 'aggregation-40-24', 'aggregation-mini'] as const),
])
const aggregationSettings = {
  name: z.string(),
  input,
  classes: z.int(),
  stem: z.strictObject({ stride }),
  stages: z.array(z.strictObject({ width: z.int(), units: z.int(), growth: z.int() })),
  bottleneck: z.boolean(),
  sources: z.enum(['all', 'exponential']),
  aggregations: z.array(z.enum(['none', 'sum', 'concat'])),
  headWidth: z.int().nullable(),
  batchNormEpsilon: z.number(),
}
const aggregationSpace = z.strictObject({ ...aggregationSettings, family: z.literal('aggregation') })
const treePreset = z.enum(['proxyless-cifar', 'tree-mini'])
const treeSettings = {
  name: z.string(),
  input,
  classes: z.int(),
  width: z.int(),
  addedWidth: z.number(),
  stages: z.int(),
  blocks: z.int(),
  bottleneck: z.int(),
  groups: z.int(),
  levels: z.array(
    z.strictObject({
      allocation: z.enum(['replicate', 'split']),
      merge: z.enum(['add', 'concat']),
      edges: z.enum(['chosen', 'identity']),
      residual: z.boolean(),
    }),
  ),
  operations: z.array(z.enum(['id', 'dw3', 'dw5', 'dw7', 'dil3', 'avg3', 'max3'])),
  batchNormEpsilon: z.number(),
}
const treeSpace = z.strictObject({ ...treeSettings, family: z.literal('pyramid-tree') })

const layerOf = { id: z.string(), shape: input }
const one = { ...layerOf, input: z.string() }
const several = { ...layerOf, inputs: z.array(z.string()) }
const two = { ...layerOf, inputs: z.tuple([z.string(), z.string()]) }
const window = { kernel: z.int(), stride: z.int() }
const graphLayer = z.discriminatedUnion('kind', [
  z.strictObject({
    ...({ kind: z.literal('activation'), ...one } as const),
    activation: z.enum(['relu', 'relu6', 'swish', 'hardSwish', 'sigmoid', 'hardSigmoid']),
  }),
  z.strictObject({ kind: z.literal('add'), ...two }),
  z.strictObject({ kind: z.literal('batchNorm'), ...one, gamma: z.string(), beta: z.string(), epsilon: z.number() }),
  z.strictObject({ kind: z.literal('channelRange'), ...one, first: z.int() }),
  z.strictObject({ kind: z.literal('channelShuffle'), ...one, groups: z.int() }),
  z.strictObject({ kind: z.literal('concat'), ...several }),
  z.strictObject({ kind: z.literal('conv2d'), ...one, ...window, groups: z.int().optional(), filter: z.string() }),
  z.strictObject({ kind: z.literal('crop'), ...one, top: z.int(), left: z.int() }),
  z.strictObject({ kind: z.literal('depthwiseConv2d'), ...one, ...window, dilation: z.int().optional(), filter: z.string() }),
  z.strictObject({ kind: z.literal('globalAveragePool'), ...one }),
  z.strictObject({ kind: z.literal('input'), ...layerOf }),
  z.strictObject({ kind: z.literal('linear'), ...one, weights: z.string(), bias: z.string() }),
  z.strictObject({ kind: z.literal('multiply'), ...two }),
  z.strictObject({ kind: z.literal('pool'), ...one, ...window, mode: z.enum(['max', 'average']), padding: z.int().optional() }),
  z.strictObject({ kind: z.literal('splitAttention'), ...several }),
  z.strictObject({ kind: z.literal('zero'), ...one }),
])
const graphNetwork = z.strictObject({
  ...({ family: z.literal('graph'), name: z.string(), input, classes: z.int() } as const),
  layers: z.array(graphLayer),
})

const spaces = [
  z.strictObject(gridFields),
  z.strictObject(listFields),
  fixedNetwork,
  cellSpace,
  fbnetV2Space,
  dartsSpace,
  aggregationSpace,
  graphNetwork,
  treeSpace,
] as const

const storedSpaceSchema = storedAs<SpaceConfig>()(z.union(spaces))

const storedSpaceRefSchema = storedAs<SpaceRef>()(
  z.union([
    mbconvPreset,
    cellPreset,
    fbnetV2Preset,
    dartsPreset,
    aggregationPreset,
    treePreset,
    z.strictObject({ ...z.object({ ...gridFields, ...listFields }).partial().shape, preset: mbconvPreset }),
    z.strictObject({ ...z.object(cellSettings).partial().shape, preset: cellPreset }),
    z.strictObject({ ...z.object(fbnetV2Settings).partial().shape, preset: fbnetV2Preset }),
    z.strictObject({ ...z.object(dartsSettings).partial().shape, preset: dartsPreset }),
    z.strictObject({ ...z.object(aggregationSettings).partial().shape, preset: aggregationPreset }),
    z.strictObject({ ...z.object(treeSettings).partial().shape, preset: treePreset }),
    ...spaces,
  ]),
)

export { storedSpaceRefSchema, storedSpaceSchema }
