// Names of measured operations in the grammar of the published ProxylessNAS latency tables, so that a table from
// elsewhere loads as it is. A key names everything that the latency depends on, and nothing else. `Projection`, a 1×1
// convolution with batch-norm and without activation, is a type that the published tables lack.

import type { Shape } from './layer-graph.ts'
import type { Activation } from './layers/activation.ts'

/**
 * What cells and what is between them are made of: convolutions with batch-norm, with ReLU before them or without, dense (`ConvNorm`), depthwise-separable
 * twice (`SepConv`) or once and dilated by 2 (`DilConv`); poolings; what halves an image.
 */
type CellLatencyOperation =
  | {
      readonly type: 'ConvNorm' | 'ReluConvNorm' | 'SepConv' | 'DilConv' | 'AvgPool' | 'MaxPool'
      readonly input: Shape
      readonly output: Shape
      readonly kernel: number
      readonly stride: number
    }
  | { readonly type: 'ResidualBlock' | 'FactorizedReduce'; readonly input: Shape; readonly output: Shape }
  | { readonly type: 'NormLogits'; readonly input: Shape; readonly classes: number }

/** A level of a tree: whether each of two branches gets all channels or half of them, what becomes of the two, and whether each is a residual. */
type TreeLevelForm = {
  readonly allocation: 'replicate' | 'split'
  readonly merge: 'add' | 'concat'
  readonly residual: boolean
}

/**
 * What PyramidNets with trees are made of: batch-norm, ReLU, depthwise and 1×1 convolution, plain or dilated by 2, and blocks whose trees have
 * identities at their edges. `width`: channels between a block's first and second convolution, and behind its tree.
 */
type TreeLatencyOperation =
  | {
      readonly type: 'NormSepConv' | 'NormDilConv'
      readonly input: Shape
      readonly output: Shape
      readonly kernel: number
      readonly stride: number
    }
  | {
      readonly type: 'TreeBlock'
      readonly input: Shape
      readonly output: Shape
      readonly width: number
      readonly groups: number
      readonly levels: readonly TreeLevelForm[]
    }

/** What the blocks of FBNetV2 and FP-NAS are made of, each with its batch-norm. */
type SplitLatencyOperation =
  | {
      readonly type: 'ConvActivation'
      readonly input: Shape
      readonly output: Shape
      readonly kernel: number
      readonly stride: number
      readonly activation: Activation
    }
  | {
      /** One depthwise convolution with its activation, or several, and attention over their channels. */
      readonly type: 'SplitDepthwise'
      readonly input: Shape
      readonly output: Shape
      readonly kernel: number
      readonly stride: number
      /** 0 without attention. */
      readonly splits: number
      /** Channels within the attention; 0 without it. */
      readonly hidden: number
      readonly activation: Activation
    }
  /** 1×1, without activation; `shortcut`: something of its size is added. */
  | { readonly type: 'ConvLinear'; readonly input: Shape; readonly output: Shape; readonly shortcut: boolean }

/**
 * What networks are made of whose layers read several outputs: a convolution alone, or behind batch-norm and ReLU; the sum of two images, and
 * images put side by side by their channels.
 */
type AggregationLatencyOperation =
  | {
      readonly type: 'PlainConv' | 'NormReluConv'
      readonly input: Shape
      readonly output: Shape
      readonly kernel: number
      readonly stride: number
    }
  /** `input`: of one of the images. */
  | { readonly type: 'Add' | 'Concat'; readonly input: Shape; readonly output: Shape }

/** An operation that a latency table has, or should have, an entry for. */
type LatencyOperation =
  | { readonly type: 'Conv'; readonly input: Shape; readonly output: Shape }
  | { readonly type: 'Conv_1'; readonly input: Shape; readonly output: Shape }
  | { readonly type: 'Logits'; readonly input: Shape; readonly classes: number }
  | { readonly type: 'Projection'; readonly input: Shape; readonly output: Shape; readonly stride: number }
  | {
      readonly type: 'expanded_conv'
      readonly input: Shape
      readonly output: Shape
      readonly expand: number
      readonly kernel: number
      readonly stride: number
      /** Whether the block adds its input to its output. */
      readonly shortcut: boolean
    }
  | CellLatencyOperation
  | SplitLatencyOperation
  | AggregationLatencyOperation
  | TreeLatencyOperation

function printShape(shape: Shape): string {
  return shape.join('x')
}

/** For example `split_add_residual.replicate_add`. */
function printLevels(levels: readonly TreeLevelForm[]): string {
  return levels.map(({ allocation, merge, residual }) => `${allocation}_${merge}${residual ? '_residual' : ''}`).join('.')
}

/** What `printLevels` prints; null for anything else. */
function readLevels(text: string): TreeLevelForm[] | null {
  const levels = text.split('.').map((level) => /^(replicate|split)_(add|concat)(_residual)?$/.exec(level))
  return levels.every((level) => level !== null)
    ? levels.map(([, allocation, merge, residual]) => ({
        allocation: allocation as TreeLevelForm['allocation'],
        merge: merge as TreeLevelForm['merge'],
        residual: residual !== undefined,
      }))
    : null
}

/** For example `expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0`. */
function latencyKey(operation: LatencyOperation): string {
  switch (operation.type) {
    case 'Conv':
    case 'Conv_1':
    case 'ResidualBlock':
    case 'FactorizedReduce':
    case 'Add':
    case 'Concat':
      return `${operation.type}-input:${printShape(operation.input)}-output:${printShape(operation.output)}`
    case 'Logits':
    case 'NormLogits':
      return `${operation.type}-input:${printShape(operation.input)}-output:${operation.classes}`
    case 'ConvNorm':
    case 'ReluConvNorm':
    case 'SepConv':
    case 'DilConv':
    case 'AvgPool':
    case 'MaxPool':
    case 'PlainConv':
    case 'NormReluConv':
    case 'NormSepConv':
    case 'NormDilConv':
      return [
        operation.type,
        `input:${printShape(operation.input)}`,
        `output:${printShape(operation.output)}`,
        `kernel:${operation.kernel}`,
        `stride:${operation.stride}`,
      ].join('-')
    case 'Projection':
      return `Projection-input:${printShape(operation.input)}-output:${printShape(operation.output)}-stride:${operation.stride}`
    case 'expanded_conv':
      return [
        'expanded_conv',
        `input:${printShape(operation.input)}`,
        `output:${printShape(operation.output)}`,
        `expand:${operation.expand}`,
        `kernel:${operation.kernel}`,
        `stride:${operation.stride}`,
        `idskip:${operation.shortcut ? 1 : 0}`,
      ].join('-')
    case 'ConvActivation':
      return [
        'ConvActivation',
        `input:${printShape(operation.input)}`,
        `output:${printShape(operation.output)}`,
        `kernel:${operation.kernel}`,
        `stride:${operation.stride}`,
        `act:${operation.activation}`,
      ].join('-')
    case 'SplitDepthwise':
      return [
        'SplitDepthwise',
        `input:${printShape(operation.input)}`,
        `output:${printShape(operation.output)}`,
        `kernel:${operation.kernel}`,
        `stride:${operation.stride}`,
        `splits:${operation.splits}`,
        `hidden:${operation.hidden}`,
        `act:${operation.activation}`,
      ].join('-')
    case 'ConvLinear':
      return `ConvLinear-input:${printShape(operation.input)}-output:${printShape(operation.output)}-idskip:${operation.shortcut ? 1 : 0}`
    case 'TreeBlock':
      return [
        'TreeBlock',
        `input:${printShape(operation.input)}`,
        `output:${printShape(operation.output)}`,
        `width:${operation.width}`,
        `groups:${operation.groups}`,
        `tree:${printLevels(operation.levels)}`,
      ].join('-')
    default:
      return operation satisfies never
  }
}

export { latencyKey, type LatencyOperation, readLevels, type TreeLevelForm }
