// The layers of one block. An inverted residual (MBConv) between C channels and C′, with M of them inside,
//
//   1×1 expand to M, BN, activation        left out where M = C
//   depthwise k×k, BN, activation          r ≥ 2: r of them side by side, each with weights of its own
//   attention over the M channels          r = 0: none
//   1×1 project to C′, BN                  plus the input where stride is 1 and C = C′
//
// Squeeze-and-excitation (r = 1; Hu et al. 2018) multiplies the channels by σ(W₂ a(W₁ mean(x))). Split-Attention (Zhang et al. 2020)
// takes the mean of the branches' sum, and gives each branch its share of a softmax: see layers/split-attention.ts. A kernel of 0
// skips the block; where that changes the shape, it is a 1×1 convolution with the block's stride and BN.
//
// M is expansion · C, and the channels within the attention are a share of M, both rounded up to a multiple of the space's divisor, as
// the authors of FBNetV2 do. All weights are first channels of the largest block's; a kernel has filters of its own.

import type { Shape } from '../../layer-graph.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import type { FbnetV2Config } from './config.ts'
import { type Block, type BlockSettings, inputShape } from './plan.ts'

type Rounding = Pick<FbnetV2Config, 'widthDivisor' | 'attentionRatio' | 'batchNormEpsilon'>

function roundUp(channels: number, divisor: number): number {
  return Math.ceil(channels / divisor) * divisor
}

/** Channels within a block. */
function innerWidth({ from, expansion }: BlockSettings, { widthDivisor }: Rounding): number {
  const exact = from * expansion
  return exact === from ? from : roundUp(exact, widthDivisor)
}

/** Channels within the attention of a block. */
function hiddenWidth(settings: BlockSettings, rounding: Rounding): number {
  return roundUp(innerWidth(settings, rounding) * rounding.attentionRatio, rounding.widthDivisor)
}

function outputShape({ output }: Block, { width }: BlockSettings): Shape {
  return [output[0], output[1], width]
}

/** Shape between expand and depthwise, or between depthwise and project. */
function innerShape(block: Block, settings: BlockSettings, rounding: Rounding, side: 'input' | 'output'): Shape {
  const [height, width] = block[side]
  return [height, width, innerWidth(settings, rounding)]
}

function hasExpand(settings: BlockSettings, rounding: Rounding): boolean {
  return settings.kernel !== 0 && innerWidth(settings, rounding) !== settings.from
}

/** Whether the block adds its input to its output, or is nothing but its input where it is skipped. */
function hasShortcut({ stride }: Block, { from, width }: BlockSettings): boolean {
  return stride === 1 && from === width
}

function writeExpand(block: Block, settings: BlockSettings, rounding: Rounding, input: string): Written {
  const writer = createPartWriter(block.name, inputShape(block, settings), rounding.batchNormEpsilon)
  const conv = writer.conv('expand', input, 1, 1, innerShape(block, settings, rounding, 'input'))
  return writer.done(writer.activate('expand', writer.norm('expand', conv), settings.activation))
}

/** One convolution, or several with their attention; what comes before the projection. */
function writeDepthwise(block: Block, settings: BlockSettings, rounding: Rounding, input: string): Written {
  const { kernel, splits, activation } = settings
  const shape = innerShape(block, settings, rounding, 'output')
  const writer = createPartWriter(block.name, innerShape(block, settings, rounding, 'input'), rounding.batchNormEpsilon)
  const branches = Array.from({ length: Math.max(1, splits) }, (_, index) => {
    const name = `depthwise${kernel}${index === 0 ? '' : `.${index + 1}`}`
    return writer.activate(name, writer.norm(name, writer.depthwise(name, input, kernel, block.stride, shape)), activation)
  })
  const [first = ''] = branches
  if (splits === 0) return writer.done(first)
  const add = (a: string, b: string, index: number) =>
    writer.push({ kind: 'add', id: writer.named(`attention.sum${index + 1}`), inputs: [a, b], shape })
  const pooled = writer.pool('attention.pool', branches.slice(1).reduce(add, first))
  const hidden = writer.linear('attention.hidden', pooled, hiddenWidth(settings, rounding))
  const active = writer.activate('attention.hidden', hidden, activation)
  const logits = branches.map((_, index) => writer.linear(`attention.logits${index + 1}`, active, shape[2]))
  if (splits === 1) {
    const factor = writer.activate('attention', logits[0] as string, 'sigmoid')
    return writer.done(writer.push({ kind: 'multiply', id: writer.named('attention.product'), inputs: [first, factor], shape }))
  }
  return writer.done(
    writer.push({ kind: 'splitAttention', id: writer.named('attention.product'), inputs: [...branches, ...logits], shape }),
  )
}

function writeProject(block: Block, settings: BlockSettings, rounding: Rounding, input: string, shortcut: string): Written {
  const from = innerShape(block, settings, rounding, 'output')
  const writer = createPartWriter(block.name, from, rounding.batchNormEpsilon)
  const shape = outputShape(block, settings)
  const output = writer.norm('project', writer.conv('project', input, 1, 1, shape))
  if (!hasShortcut(block, settings)) return writer.done(output)
  return writer.done(writer.push({ kind: 'add', id: writer.named('add'), inputs: [output, shortcut], shape }))
}

/** A skipped block whose shape changes. */
function writeSkip(block: Block, settings: BlockSettings, rounding: Rounding, input: string): Written {
  const writer = createPartWriter(block.name, inputShape(block, settings), rounding.batchNormEpsilon)
  return writer.done(writer.norm('skip', writer.conv('skip', input, 1, block.stride, outputShape(block, settings))))
}

/** All of a block that reads `input`; where it is skipped and keeps its shape, nothing. */
function writeBlock(block: Block, settings: BlockSettings, rounding: Rounding, input: string): Written {
  if (settings.kernel === 0) {
    if (!hasShortcut(block, settings)) return writeSkip(block, settings, rounding, input)
    return { layers: [], weightSpecs: [], output: input, shape: outputShape(block, settings) }
  }
  const expand = hasExpand(settings, rounding) ? [writeExpand(block, settings, rounding, input)] : []
  const depthwise = writeDepthwise(block, settings, rounding, expand[0]?.output ?? input)
  const project = writeProject(block, settings, rounding, depthwise.output, input)
  const parts = [...expand, depthwise, project]
  return {
    layers: parts.flatMap(({ layers }) => layers),
    weightSpecs: parts.flatMap(({ weightSpecs }) => weightSpecs),
    output: project.output,
    shape: project.shape,
  }
}

export {
  hasExpand,
  hasShortcut,
  hiddenWidth,
  innerShape,
  outputShape,
  type Rounding,
  writeBlock,
  writeDepthwise,
  writeExpand,
  writeProject,
  writeSkip,
}
