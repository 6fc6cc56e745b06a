// Settings of the CIFAR-10 space of ProxylessNAS (Cai, Zhu and Han 2019, arXiv 1812.00332, section 4.1): a PyramidNet of bottleneck blocks (Han, Kim
// and Kim 2017, arXiv 1610.02915) in which a tree of operations stands behind each 3×3 convolution. The trees are those of path-level
// transformations (Cai et al. 2018, arXiv 1806.02639, section 3.2): a node gives its input to two branches, to both all of it or to each a part,
// and adds or concatenates what they make of it.

import * as z from 'zod'
import { MAX_CELLS, MAX_WIDTH, mbconvFields, width } from '../mbconv/config.ts'

const MAX_STAGES = 8
/** A tree of l levels has 2^l leaves. */
const MAX_LEVELS = 4
const MAX_BOTTLENECK = 16
const MAX_GROUPS = 64

/**
 * As architectures name them: the identity; batch-norm, ReLU, depthwise and 1×1 convolution, of kernel 3, 5 or 7, or of kernel 3 dilated by 2;
 * poolings of 3×3.
 */
const treeOperations = ['id', 'dw3', 'dw5', 'dw7', 'dil3', 'avg3', 'max3'] as const
type TreeOperation = (typeof treeOperations)[number]

const levelSchema = z
  .strictObject({
    allocation: z.enum(['replicate', 'split']).describe('whether each branch gets all channels, or half of them'),
    merge: z.enum(['add', 'concat']).describe('what becomes of the two branches'),
    edges: z.enum(['chosen', 'identity']).describe('whether the edge that a branch begins with is a decision, or nothing'),
    residual: z
      .boolean()
      .describe('whether what the levels below make of an edge is normalised and added to that edge; false at the last level'),
  })
  .meta({ id: 'TreeLevel', description: 'The nodes of one level of a tree.' })
type TreeLevel = z.infer<typeof levelSchema>

const { name, input, classes, batchNormEpsilon } = mbconvFields

const pyramidTreeFields = {
  family: z.literal('pyramid-tree'),
  name,
  input,
  classes,
  width: width.describe('channels of the stem, from which those of the bottlenecks grow'),
  addedWidth: z
    .number()
    .min(0)
    .max(MAX_WIDTH)
    .describe('channels that the last bottleneck has more than the stem, by equal steps from block to block'),
  stages: z.int().min(1).max(MAX_STAGES).describe('groups of blocks; the first block of each but the first halves the image'),
  blocks: z.int().min(1).max(MAX_CELLS).describe('blocks of each stage'),
  bottleneck: z.int().min(1).max(MAX_BOTTLENECK).describe('channels of a block, as a multiple of those of its bottleneck'),
  groups: z.int().min(1).max(MAX_GROUPS).describe('groups of the 3×3 convolutions; channels of bottlenecks are rounded down to multiples'),
  levels: z.array(levelSchema).min(1).max(MAX_LEVELS).describe('levels of a tree, the one behind the convolution first'),
  operations: z.array(z.enum(treeOperations)).min(1).describe('operations that an edge chooses from, in this order'),
  batchNormEpsilon,
}

const pyramidTreeConfigSchema = z.strictObject({ ...pyramidTreeFields, batchNormEpsilon: batchNormEpsilon.default(1e-5) }).meta({
  id: 'PyramidTreeSpace',
  description: 'A space of PyramidNets with trees of operations in their blocks, as ProxylessNAS has it for CIFAR-10.',
})
type PyramidTreeConfig = z.infer<typeof pyramidTreeConfigSchema>

const splitLevel = { allocation: 'split', merge: 'add', edges: 'identity', residual: true } satisfies TreeLevel
const chosenLevel = { allocation: 'replicate', merge: 'add', edges: 'chosen', residual: false } satisfies TreeLevel

const proxylessCifar = {
  family: 'pyramid-tree',
  name: 'proxyless-cifar',
  input: [32, 32, 3],
  classes: 10,
  width: 16,
  addedWidth: 84,
  stages: 3,
  blocks: 18,
  bottleneck: 4,
  groups: 2,
  levels: [splitLevel, chosenLevel, chosenLevel],
  operations: [...treeOperations],
  batchNormEpsilon: 1e-5,
} satisfies PyramidTreeConfig

const pyramidTreePresets = {
  // That of the published network.
  'proxyless-cifar': proxylessCifar,
  // The same trees in a PyramidNet that is small enough to be searched in minutes on a processor.
  'tree-mini': {
    ...proxylessCifar,
    ...({ name: 'tree-mini', input: [28, 28, 1], width: 8, addedWidth: 12, stages: 3, blocks: 1, bottleneck: 2 } as const),
  },
} satisfies Record<string, PyramidTreeConfig>

export {
  type PyramidTreeConfig,
  pyramidTreeConfigSchema,
  pyramidTreeFields,
  pyramidTreePresets,
  type TreeLevel,
  type TreeOperation,
  treeOperations,
}
