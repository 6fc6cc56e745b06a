// What is at the places of a network of trees: layers and names of what is measured. All convolutions are batch-norm, ReLU, convolution, but for
// the first of a block, which has no ReLU, and the stem.

import type { LatencyOperation } from '../../latency-key.ts'
import type { Shape } from '../../layer-graph.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import type { PyramidTreeConfig, TreeLevel, TreeOperation } from './config.ts'
import { type Block, BRANCHES, branchShape } from './plan.ts'

const STEM_KERNEL = 3
const ROOT_KERNEL = 3
const POOL_KERNEL = 3
const SHORTCUT_POOL = 2
const DILATION = 2

const kernels = { dw3: 3, dw5: 5, dw7: 7, dil3: 3 } as const

/** An edge of a tree; the identity computes nothing. */
function writeOperation(prefix: string, operation: TreeOperation, input: string, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter(prefix, shape, epsilon)
  switch (operation) {
    case 'id':
      return writer.done(input)
    case 'dw3':
    case 'dw5':
    case 'dw7':
    case 'dil3': {
      const active = writer.activate('norm', writer.norm('norm', input), 'relu')
      const depthwise = writer.depthwise('depthwise', active, kernels[operation], 1, shape, operation === 'dil3' ? DILATION : undefined)
      return writer.done(writer.conv('pointwise', depthwise, 1, 1, shape))
    }
    case 'avg3':
    case 'max3': {
      const mode = operation === 'avg3' ? 'average' : 'max'
      return writer.done(writer.push({ kind: 'pool', id: writer.named('pool'), input, mode, kernel: POOL_KERNEL, stride: 1, shape }))
    }
    default:
      return operation satisfies never
  }
}

function operationKey(operation: TreeOperation, shape: Shape): LatencyOperation | null {
  const window = (kernel: number) => ({ input: shape, output: shape, kernel, stride: 1 })
  switch (operation) {
    case 'id':
      return null
    case 'dw3':
    case 'dw5':
    case 'dw7':
      return { type: 'NormSepConv', ...window(kernels[operation]) }
    case 'dil3':
      return { type: 'NormDilConv', ...window(kernels[operation]) }
    case 'avg3':
      return { type: 'AvgPool', ...window(POOL_KERNEL) }
    case 'max3':
      return { type: 'MaxPool', ...window(POOL_KERNEL) }
    default:
      return operation satisfies never
  }
}

/** Where a block goes as it is written. */
type Sink = {
  /** Returns the id of what the piece makes. */
  append(piece: Written): string
  /** Writes an edge that is a decision, by the branches that lead to it. Returns the id of what it makes. */
  edge(name: string, input: string, shape: Shape): string
}

/** Batch-norm and 1×1 convolution, batch-norm, ReLU and 3×3 convolution in groups, whose channels are shuffled. */
function writeRoot({ name, input, narrow, made }: Block, from: string, { groups, batchNormEpsilon }: PyramidTreeConfig): Written {
  const writer = createPartWriter(name, input, batchNormEpsilon)
  const thin = writer.conv('in', writer.norm('in', from), 1, 1, narrow)
  const active = writer.activate('root', writer.norm('root', thin), 'relu')
  const stride = narrow[0] / made[0]
  const id = writer.named('root')
  const filter = writer.named('root.filter')
  const root = writer.push({ kind: 'conv2d', id, input: active, kernel: ROOT_KERNEL, stride, groups, filter, shape: made })
  return writer.done(
    groups === 1 ? root : writer.push({ kind: 'channelShuffle', id: writer.named('shuffle'), input: root, groups, shape: made }),
  )
}

/** Batch-norm, ReLU, 1×1 convolution and batch-norm. */
function writeEnd({ name, merged, output }: Block, from: string, epsilon: number): Written {
  const writer = createPartWriter(name, merged, epsilon)
  const wide = writer.conv('out', writer.activate('out', writer.norm('out', from), 'relu'), 1, 1, output)
  return writer.done(writer.norm('last', wide))
}

/** What the block is added to: its input, 2×2 pixels as one where it halves the image, with channels of zeros behind. */
function writeShortcut({ name, input, output }: Block, from: string, end: string, epsilon: number): Written {
  const writer = createPartWriter(name, input, epsilon)
  const [height, width] = output
  const pool = () => {
    const shape = [height, width, input[2]] as const
    const window = { mode: 'average', kernel: SHORTCUT_POOL, stride: SHORTCUT_POOL, padding: 0 } as const
    return writer.push({ kind: 'pool', id: writer.named('shortcut.pool'), input: from, ...window, shape })
  }
  const small = height === input[0] ? from : pool()
  const pad = () => writer.push({ kind: 'channelRange', id: writer.named('shortcut.padded'), input: small, first: 0, shape: output })
  const padded = output[2] === input[2] ? small : pad()
  return writer.done(writer.push({ kind: 'add', id: writer.named('sum'), inputs: [padded, end], shape: output }))
}

/** A node and what is below it, for what reads `input`. Returns what it makes. */
function writeNode(
  block: Block,
  levels: readonly TreeLevel[],
  path: readonly number[],
  input: string,
  from: Shape,
  sink: Sink,
  epsilon: number,
): { readonly output: string; readonly shape: Shape } {
  const [level, ...below] = levels
  if (!level) return { output: input, shape: from }
  const shape = branchShape(level, from)
  const node = ['tree', ...path].join('.')
  const branches = Array.from({ length: BRANCHES }, (_, branch) => {
    const own = [...path, branch]
    const writer = createPartWriter(block.name, from, epsilon)
    const take = () => {
      const id = writer.named(`${node}.part${branch}`)
      return sink.append(writer.done(writer.push({ kind: 'channelRange', id, input, first: branch * shape[2], shape })))
    }
    const part = level.allocation === 'split' ? take() : input
    const edge = level.edges === 'chosen' ? sink.edge(own.join('.'), part, shape) : part
    const made = writeNode(block, below, own, edge, shape, sink, epsilon)
    if (!level.residual) return made
    const residual = createPartWriter(block.name, shape, epsilon)
    const norm = residual.norm(`${node}.branch${branch}`, made.output)
    const id = residual.named(`${node}.branch${branch}`)
    const output = sink.append(residual.done(residual.push({ kind: 'add', id, inputs: [norm, edge], shape })))
    return { output, shape }
  })
  const [one, other] = branches as [{ output: string; shape: Shape }, { output: string; shape: Shape }]
  const writer = createPartWriter(block.name, one.shape, epsilon)
  const inputs = [one.output, other.output] as const
  const [height, width, channels] = one.shape
  const merged: Shape = level.merge === 'add' ? one.shape : [height, width, BRANCHES * channels]
  const id = writer.named(`${node}.merged`)
  const last =
    level.merge === 'add'
      ? writer.push({ kind: 'add', id, inputs, shape: merged })
      : writer.push({ kind: 'concat', id, inputs, shape: merged })
  return { output: sink.append(writer.done(last)), shape: merged }
}

/** A block from what it reads; returns the id of what it makes. */
function writeBlock(block: Block, config: PyramidTreeConfig, from: string, sink: Sink): string {
  const { levels, batchNormEpsilon: epsilon } = config
  const root = sink.append(writeRoot(block, from, config))
  const { output } = writeNode(block, levels, [], root, block.made, sink, epsilon)
  const end = sink.append(writeEnd(block, output, epsilon))
  return sink.append(writeShortcut(block, from, end, epsilon))
}

/** The block by itself: all of its edges are the identity. */
function writePlainBlock(block: Block, config: PyramidTreeConfig, from: string): Written {
  const pieces: Written[] = []
  const append = (piece: Written) => {
    pieces.push(piece)
    return piece.output
  }
  const output = writeBlock(block, config, from, { append, edge: (_name, input) => input })
  return {
    layers: pieces.flatMap(({ layers }) => layers),
    weightSpecs: pieces.flatMap(({ weightSpecs }) => weightSpecs),
    output,
    shape: block.output,
  }
}

function blockKey({ input, output, narrow }: Block, { groups, levels }: PyramidTreeConfig): LatencyOperation {
  return {
    type: 'TreeBlock',
    input,
    output,
    width: narrow[2],
    groups,
    levels: levels.map(({ allocation, merge, residual }) => ({ allocation, merge, residual })),
  }
}

function writeStem(input: string, from: Shape, shape: Shape, epsilon: number): Written {
  const writer = createPartWriter('stem', from, epsilon)
  return writer.done(writer.norm('conv', writer.conv('conv', input, STEM_KERNEL, 1, shape)))
}

/** Batch-norm, ReLU, the mean over each channel, classifier. */
function writeHead(input: string, from: Shape, classes: number, epsilon: number): Written {
  const writer = createPartWriter('head', from, epsilon)
  return writer.done(writer.classifier(writer.activate('last', writer.norm('last', input), 'relu'), classes))
}

export { blockKey, operationKey, STEM_KERNEL, writeBlock, writeHead, writeOperation, writePlainBlock, writeStem }
