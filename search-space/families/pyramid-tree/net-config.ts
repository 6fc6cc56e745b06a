// Networks of trees as the authors of ProxylessNAS publish them: the JSON of a `PyramidTreeNet`, field names theirs (cifar_modules.py and layers.py
// of github.com/mit-han-lab/proxylessnas). What is read is held against what would be written of the same architecture, so that whatever a
// network of ours cannot be is refused by its field.

import * as z from 'zod'
import { SpaceError, type Path } from '../../space.ts'
import { type PyramidTreeConfig, pyramidTreeConfigSchema, type TreeLevel, type TreeOperation, treeOperations } from './config.ts'
import { type Block, BRANCHES, branchShape, planTrees } from './plan.ts'

/** What such documents are called. */
const TREE_NET = 'PyramidTreeNet'

const count = z.int().min(1)
const ORDER = 'bn_act_weight'
/** Of PyTorch, which these networks take as it is. */
const EPSILON = 1e-5

const common = {
  in_channels: count,
  out_channels: count,
  use_bn: z.boolean(),
  act_func: z.string().nullable(),
  dropout_rate: z.number(),
  ops_order: z.string(),
}
const convolution = {
  kernel_size: count,
  stride: count,
  dilation: count.default(1),
  groups: count.default(1),
  bias: z.boolean().default(false),
  has_shuffle: z.boolean().default(false),
  ...common,
}
const layerSchema = z.discriminatedUnion('name', [
  z.object({ name: z.literal('ConvLayer'), ...convolution }),
  z.object({ name: z.literal('DepthConvLayer'), ...convolution }),
  z.object({ name: z.literal('PoolingLayer'), pool_type: z.string(), kernel_size: count, stride: count, ...common }),
  z.object({ name: z.literal('IdentityLayer'), ...common }),
])
type LayerForm = z.infer<typeof layerSchema>

type NodeForm = {
  name: 'TreeNode'
  in_channels: number
  out_channels: number
  split_type: string | null
  merge_type: string | null
  has_branch_bn: boolean
  path_drop_rate: number
  edges: LayerForm[]
  child_nodes: (NodeForm | null)[]
}
const nodeSchema: z.ZodType<NodeForm> = z.object({
  name: z.literal('TreeNode').default('TreeNode'),
  in_channels: count,
  out_channels: count,
  split_type: z.string().nullable(),
  merge_type: z.string().nullable(),
  has_branch_bn: z.boolean().default(false),
  path_drop_rate: z.number().default(0),
  edges: z.array(layerSchema).min(1),
  child_nodes: z.lazy(() => z.array(nodeSchema.nullable())),
})

const transitionSchema = z.object({ name: z.literal('TransitionBlock'), layers: z.array(layerSchema).min(1) })
const residualSchema = z.object({
  name: z.literal('ResidualTreeBlock'),
  cell_drop_rate: z.number().default(0),
  final_bn: z.boolean().default(true),
  shortcut: layerSchema,
  in_bottle: layerSchema,
  out_bottle: layerSchema,
  cell: nodeSchema,
})

const treeNetConfigSchema = z.object({
  name: z.literal(TREE_NET),
  blocks: z.array(z.discriminatedUnion('name', [transitionSchema, residualSchema])).min(3),
  classifier: z.object({
    name: z.literal('LinearLayer'),
    in_features: count,
    out_features: count,
    bias: z.boolean().default(true),
    use_bn: z.boolean().default(false),
    act_func: z.string().nullable().default(null),
    dropout_rate: z.number().default(0),
    ops_order: z.string().default(ORDER),
  }),
})
type TreeNetConfig = z.infer<typeof treeNetConfigSchema>

function commonForm(inputs: number, outputs: number, use_bn: boolean, act_func: 'relu' | null) {
  return { in_channels: inputs, out_channels: outputs, use_bn, act_func, dropout_rate: 0, ops_order: ORDER }
}

type Window = { readonly kernel: number; readonly stride?: number; readonly dilation?: number; readonly groups?: number }

function convolutionForm({ kernel, stride = 1, dilation = 1, groups = 1 }: Window) {
  return { kernel_size: kernel, stride, dilation, groups, bias: false, has_shuffle: groups > 1 }
}

const identityForm = (channels: number, use_bn = false): LayerForm => ({
  name: 'IdentityLayer',
  ...commonForm(channels, channels, use_bn, null),
})

const poolForm = (pool_type: 'avg' | 'max', kernel: number, stride: number, channels: number, isActive = false): LayerForm => ({
  name: 'PoolingLayer',
  pool_type,
  kernel_size: kernel,
  stride,
  ...commonForm(channels, channels, isActive, isActive ? 'relu' : null),
})

function operationForm(operation: TreeOperation, channels: number): LayerForm {
  const depthwise = (window: Window): LayerForm => {
    return { name: 'DepthConvLayer', ...convolutionForm(window), ...commonForm(channels, channels, true, 'relu') }
  }
  switch (operation) {
    case 'id':
      return identityForm(channels)
    case 'dw3':
      return depthwise({ kernel: 3 })
    case 'dw5':
      return depthwise({ kernel: 5 })
    case 'dw7':
      return depthwise({ kernel: 7 })
    case 'dil3':
      return depthwise({ kernel: 3, dilation: 2 })
    case 'avg3':
      return poolForm('avg', 3, 1, channels)
    case 'max3':
      return poolForm('max', 3, 1, channels)
    default:
      return operation satisfies never
  }
}

/** `next` gives the operations of the chosen edges, in their order; null below the last level. */
function nodeForm(levels: readonly TreeLevel[], channels: number, next: () => TreeOperation): { node: NodeForm | null; made: number } {
  const [level, ...below] = levels
  if (!level) return { node: null, made: channels }
  const [, , own] = branchShape(level, [1, 1, channels])
  const edges: LayerForm[] = []
  const children: (NodeForm | null)[] = []
  let made = own
  for (let branch = 0; branch < BRANCHES; branch++) {
    edges.push(operationForm(level.edges === 'chosen' ? next() : 'id', own))
    const child = nodeForm(below, own, next)
    children.push(child.node)
    made = child.made
  }
  const outputs = level.merge === 'add' ? made : BRANCHES * made
  const node: NodeForm = {
    name: 'TreeNode',
    in_channels: channels,
    out_channels: outputs,
    split_type: level.allocation === 'split' ? 'split' : 'copy',
    merge_type: level.merge,
    has_branch_bn: level.residual,
    path_drop_rate: 0,
    edges,
    child_nodes: children,
  }
  return { node, made: outputs }
}

function blockForm({ input, narrow, made, merged, output }: Block, { levels, groups }: PyramidTreeConfig, next: () => TreeOperation) {
  const stride = narrow[0] / made[0]
  const width = narrow[2]
  const root: LayerForm = {
    name: 'ConvLayer',
    ...convolutionForm({ kernel: 3, stride, groups }),
    ...commonForm(width, made[2], true, 'relu'),
  }
  const cell: NodeForm = {
    name: 'TreeNode',
    in_channels: width,
    out_channels: merged[2],
    split_type: null,
    merge_type: null,
    has_branch_bn: false,
    path_drop_rate: 0,
    edges: [root],
    child_nodes: [nodeForm(levels, made[2], next).node],
  }
  const bottle = (inputs: number, outputs: number, act_func: 'relu' | null): LayerForm => {
    return { name: 'ConvLayer', ...convolutionForm({ kernel: 1 }), ...commonForm(inputs, outputs, true, act_func) }
  }
  return {
    name: 'ResidualTreeBlock' as const,
    cell_drop_rate: 0,
    final_bn: true,
    shortcut: stride === 1 ? identityForm(input[2]) : poolForm('avg', stride, stride, input[2]),
    in_bottle: bottle(input[2], width, null),
    out_bottle: bottle(merged[2], output[2], 'relu'),
    cell,
  }
}

/** An architecture in the published form. Throws SpaceError `config` where the last images are not square, which a pooling of theirs must be. */
function toTreeNetConfig(config: PyramidTreeConfig, path: Path): TreeNetConfig {
  const { stem, blocks, edges } = planTrees(config)
  const [height, width, channels] = blocks.at(-1)?.output ?? stem
  if (height !== width) throw new SpaceError('config', 'space.input', `a PyramidTreeNet has square images, got ${config.input.join('×')}`)
  if (path.length !== blocks.length * edges.length) {
    throw new SpaceError('choices', 'path', `expected ${blocks.length * edges.length} options, one per decision, got ${path.length}`)
  }
  const options = path.values()
  const next = () => config.operations[options.next().value ?? -1] ?? 'id'
  const first: LayerForm = { name: 'ConvLayer', ...convolutionForm({ kernel: 3 }), ...commonForm(config.input[2], stem[2], false, null) }
  return {
    name: TREE_NET,
    blocks: [
      { name: 'TransitionBlock', layers: [first, identityForm(stem[2], true)] },
      ...blocks.map((block) => blockForm(block, config, next)),
      { name: 'TransitionBlock', layers: [poolForm('avg', height, height, channels, true)] },
    ],
    classifier: {
      name: 'LinearLayer',
      in_features: channels,
      out_features: config.classes,
      bias: true,
      use_bn: false,
      act_func: null,
      dropout_rate: 0,
      ops_order: ORDER,
    },
  }
}

function refuse(field: string, message: string): never {
  throw new SpaceError('config', field, message)
}

const MAX_SHOWN = 80

/** The first field in which two documents differ, and what is there; null where none does. */
function firstDifference(expected: unknown, got: unknown, field = ''): { readonly field: string; readonly message: string } | null {
  if (typeof expected !== 'object' || typeof got !== 'object' || expected === null || got === null) {
    const message = `expected ${JSON.stringify(expected)?.slice(0, MAX_SHOWN)}, got ${JSON.stringify(got)?.slice(0, MAX_SHOWN)}`
    return expected === got ? null : { field, message }
  }
  const isList = Array.isArray(expected)
  for (const key of new Set([...Object.keys(expected), ...Object.keys(got)])) {
    const inner = isList ? `${field}[${key}]` : field === '' ? key : `${field}.${key}`
    const found = firstDifference((expected as Record<string, unknown>)[key], (got as Record<string, unknown>)[key], inner)
    if (found !== null) return found
  }
  return null
}

function operationOf(form: LayerForm): TreeOperation | null {
  return treeOperations.find((operation) => firstDifference(operationForm(operation, form.in_channels), form) === null) ?? null
}

/** The edges of a node and of all below it, with their levels, in the order of decisions. */
function edgesOf(node: NodeForm | null | undefined, field: string, level = 0): { form: LayerForm; level: number; field: string }[] {
  if (!node) return []
  return node.edges.flatMap((form, branch) => [
    { form, level, field: `${field}.edges[${branch}]` },
    ...edgesOf(node.child_nodes[branch], `${field}.child_nodes[${branch}]`, level + 1),
  ])
}

/** The nodes along the first branches: all of a level are alike. */
function firstNodes(node: NodeForm | null | undefined): NodeForm[] {
  return node ? [node, ...firstNodes(node.child_nodes[0])] : []
}

/**
 * Reads a published network of trees: the settings of its space, whose edges choose among all operations, and which of these it has. Edges of a level
 * that are the identity in all trees are none to choose.
 *
 * Throws ZodError for a document that is none, SpaceError `config` where it is no network of ours.
 */
function fromTreeNetConfig(document: unknown, name: string): { readonly config: PyramidTreeConfig; readonly path: number[] } {
  const published = treeNetConfigSchema.parse(document)
  const all = published.blocks
  const residuals = all.flatMap((block, index) => (block.name === 'ResidualTreeBlock' ? [{ block, index }] : []))
  const [first] = residuals
  const stem = all[0]?.name === 'TransitionBlock' ? all[0].layers[0] : undefined
  const lastBlock = all.at(-1)
  const pooling = lastBlock?.name === 'TransitionBlock' ? lastBlock.layers[0] : undefined
  const root = first?.block.cell.edges[0]
  if (!first || stem === undefined || residuals.length !== all.length - 2) {
    refuse('blocks', 'expected a TransitionBlock, ResidualTreeBlocks and a TransitionBlock')
  }
  if (pooling?.name !== 'PoolingLayer') refuse(`blocks[${all.length - 1}].layers[0]`, 'expected the mean over each channel, a PoolingLayer')
  if (root?.name !== 'ConvLayer') refuse('blocks[1].cell.edges[0]', 'expected the 3×3 convolution, a ConvLayer')
  const stages = 1 + residuals.filter(({ block }) => block.shortcut.name === 'PoolingLayer').length
  const edges = residuals.map(({ block, index }) => edgesOf(block.cell.child_nodes[0], `blocks[${index}].cell.child_nodes[0]`))
  const operations = edges.map((own) =>
    own.map(({ form, level, field }) => ({
      operation:
        operationOf(form) ??
        refuse(field, `expected one of ${treeOperations.join(', ')} in the order ${ORDER}, got ${form.name} with other settings`),
      level,
    })),
  )
  const levels = firstNodes(first.block.cell.child_nodes[0]).map((node, level): TreeLevel => ({
    allocation: node.split_type === 'split' ? 'split' : 'replicate',
    merge: node.merge_type === 'concat' ? 'concat' : 'add',
    edges: operations.flat().every((edge) => edge.level !== level || edge.operation === 'id') ? 'identity' : 'chosen',
    residual: node.has_branch_bn,
  }))
  const widths = residuals.map(({ block }) => block.in_bottle.out_channels)
  const side = pooling.kernel_size * 2 ** (stages - 1)
  const width = stem.out_channels
  const given = {
    family: 'pyramid-tree',
    name,
    input: [side, side, stem.in_channels],
    classes: published.classifier.out_features,
    width,
    stages,
    blocks: Math.ceil(residuals.length / stages),
    bottleneck: first.block.out_bottle.out_channels / first.block.out_bottle.in_channels,
    groups: root.groups,
    levels,
    operations: [...treeOperations],
    batchNormEpsilon: EPSILON,
  }
  // The form has the widths alone, which are rounded down to multiples of the groups: the last is less by up to that.
  const candidates = Array.from({ length: root.groups }, (_, remainder) =>
    pyramidTreeConfigSchema.parse({ ...given, addedWidth: (widths.at(-1) ?? width) - width + remainder }),
  )
  const config = candidates.find((candidate) => planTrees(candidate).blocks.every(({ narrow }, index) => narrow[2] === widths[index]))
  if (!config) refuse('blocks', `expected bottlenecks that widen by equal steps from ${width} channels, got ${widths.join(', ')}`)
  const path = operations
    .flat()
    .filter(({ level }) => levels[level]?.edges === 'chosen')
    .map(({ operation }) => config.operations.indexOf(operation))
  const difference = firstDifference(toTreeNetConfig(config, path), published)
  if (difference !== null) refuse(difference.field, difference.message)
  return { config, path }
}

export { fromTreeNetConfig, toTreeNetConfig, TREE_NET, type TreeNetConfig }
