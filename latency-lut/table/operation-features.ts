// What an operation's latency is made of, read off its key: amounts of work that are never negative and never shrink when
// a size grows, so that a predictor with non-negative weights for them never predicts less than 0, nor less for more work.
// An MBConv with E = input channels × expansion channels between its convolutions is
//
//   expand     1×1, E outputs per pixel of the input     H·W·C·E multiply-accumulates
//   depthwise  k×k, one channel at a time                a cost per output value and a cost per channel, of each kernel size
//   project    1×1, C′ outputs per pixel of the output   H′·W′·E·C′ multiply-accumulates
//
// and what is read and written between them. The depthwise part has costs per kernel size, not per multiply-accumulate:
// runtimes have their own code for some sizes and none for others (XNNPACK, and so TensorFlow.js on wasm, has none for
// 7×7, where one multiply-accumulate takes four times as long as in 5×5). They are steps, from each size to the next larger
// one, so larger kernels cannot come out cheaper.

import type { LatencyOperation } from '../../search-space/index.ts'
import type { Mbconv, TableOperation } from './keys.ts'

/** Of the convolution in groups of a TreeBlock. */
const GROUP_KERNEL = 3

/** Amount of work by name, for one image; a name that is absent means 0. */
type Features = Readonly<Record<string, number>>

/** An operation whose latency can be predicted: one of a space, with the expanded width for the expansion ratio. */
type Predictable = Exclude<LatencyOperation, Mbconv> | (Omit<Mbconv, 'expand'> & { readonly expandedWidth: number })
type PredictableType = Predictable['type']

/** Null for what no space asks for. */
function predictable(operation: TableOperation): Predictable | null {
  switch (operation.type) {
    case 'Conv':
    case 'Conv_1':
    case 'Logits':
    case 'Projection':
    case 'ConvNorm':
    case 'ReluConvNorm':
    case 'SepConv':
    case 'DilConv':
    case 'AvgPool':
    case 'MaxPool':
    case 'ResidualBlock':
    case 'FactorizedReduce':
    case 'NormLogits':
    case 'ConvActivation':
    case 'SplitDepthwise':
    case 'ConvLinear':
    case 'PlainConv':
    case 'NormReluConv':
    case 'Add':
    case 'Concat':
    case 'NormSepConv':
    case 'NormDilConv':
    case 'TreeBlock':
      return operation
    case 'expanded_conv': {
      const { expand, ...rest } = operation
      return { ...rest, expandedWidth: operation.input[2] * expand }
    }
    case 'expanded_conv with se and hs': {
      const { squeezeExcite, hardSwish, ...rest } = operation
      return squeezeExcite || hardSwish ? null : { ...rest, type: 'expanded_conv' }
    }
    case 'other':
      return null
    default:
      return operation satisfies never
  }
}

function mbconvFeatures(operation: Extract<Predictable, { type: 'expanded_conv' }>, kernels: readonly number[]): Features {
  const { input, output, expandedWidth, kernel, shortcut } = operation
  const [height, width, channels] = input
  const pixels = height * width
  const outputPixels = output[0] * output[1]
  const hasExpand = expandedWidth !== channels
  const steps = depthwiseFeatures(outputPixels * expandedWidth, expandedWidth, kernel, kernels)
  return {
    calls: 1,
    'expand calls': hasExpand ? 1 : 0,
    'expand MACs': hasExpand ? pixels * channels * expandedWidth : 0,
    'project MACs': outputPixels * expandedWidth * output[2],
    ...Object.fromEntries(steps),
    'expanded values': pixels * expandedWidth,
    'input and output values': pixels * channels + outputPixels * output[2],
    'pointwise weights': (hasExpand ? channels * expandedWidth : 0) + expandedWidth * output[2],
    'shortcut values': shortcut ? outputPixels * output[2] : 0,
  }
}

/** Costs per output and per channel of depthwise convolutions, in steps from one kernel size to the next. */
function depthwiseFeatures(outputs: number, channels: number, kernel: number, kernels: readonly number[]): [string, number][] {
  return kernels
    .filter((size) => size <= kernel)
    .flatMap((size): [string, number][] => [
      [`depthwise outputs, kernel from ${size}`, outputs],
      [`depthwise channels, kernel from ${size}`, channels],
    ])
}

/** Several depthwise convolutions side by side, and what attention adds: it reads all that they make once more and has small linear layers. */
function splitFeatures(operation: Extract<Predictable, { type: 'SplitDepthwise' }>, kernels: readonly number[]): Features {
  const { input, output, kernel, splits, hidden, activation } = operation
  const branches = Math.max(1, splits)
  const outputs = output[0] * output[1] * output[2]
  return {
    calls: 1,
    'depthwise calls': branches,
    ...Object.fromEntries(depthwiseFeatures(branches * outputs, branches * output[2], kernel, kernels)),
    'input values': branches * input[0] * input[1] * input[2],
    [`values through ${activation}`]: branches * outputs,
    'attention calls': splits > 0 ? 1 : 0,
    'values with attention': splits * outputs,
    'attention weights': splits > 0 ? output[2] * hidden * (1 + splits) : 0,
  }
}

/** Two 1×1 convolutions and one of 3×3 in groups between them, and what a tree of identities moves and adds. */
function treeFeatures({ input, output, width, groups, levels }: Extract<Predictable, { type: 'TreeBlock' }>): Features {
  const pixels = input[0] * input[1]
  const outputPixels = output[0] * output[1]
  const made = levels.reduce(
    (channels, { allocation, merge }) => channels * (allocation === 'split' ? 2 : 1) * (merge === 'concat' ? 0.5 : 1),
    width,
  )
  // Of all nodes of a level, which are twice as many as those of the level above.
  let channels = made
  const values = { split: 0, merged: 0, residual: 0 }
  for (const { allocation, residual } of levels) {
    channels *= allocation === 'split' ? 1 : 2
    values.merged += channels
    if (allocation === 'split') values.split += channels
    if (residual) values.residual += channels
  }
  return {
    calls: 1,
    'tree calls': 2 ** levels.length,
    'pointwise MACs': pixels * input[2] * width + outputPixels * width * output[2],
    'group MACs': (outputPixels * GROUP_KERNEL ** 2 * width * made) / groups,
    'input values': pixels * (input[2] + width),
    'output values': outputPixels * output[2],
    'values of the tree': outputPixels * made,
    'values split': outputPixels * values.split,
    'values merged': outputPixels * values.merged,
    'values of residuals': outputPixels * values.residual,
  }
}

/** `kernels`: the sizes of depthwise kernels that are told apart. */
function operationFeatures(operation: Predictable, kernels: readonly number[]): Features {
  switch (operation.type) {
    case 'Conv':
    case 'Conv_1':
    case 'Projection': {
      // The kernel is the same for all of a type and so part of the weights to be found.
      const { input, output } = operation
      return {
        calls: 1,
        MACs: output[0] * output[1] * input[2] * output[2],
        'input values': input[0] * input[1] * input[2],
        'output values': output[0] * output[1] * output[2],
        weights: input[2] * output[2],
      }
    }
    case 'ConvNorm':
    case 'ReluConvNorm':
    case 'PlainConv':
    case 'NormReluConv': {
      const { input, output, kernel } = operation
      return {
        calls: 1,
        MACs: output[0] * output[1] * input[2] * output[2] * kernel ** 2,
        'input values': input[0] * input[1] * input[2],
        'output values': output[0] * output[1] * output[2],
        weights: input[2] * output[2] * kernel ** 2,
      }
    }
    case 'AvgPool':
    case 'MaxPool': {
      const { output, kernel } = operation
      return {
        calls: 1,
        'output values': output[0] * output[1] * output[2],
        'values read': output[0] * output[1] * output[2] * kernel ** 2,
      }
    }
    case 'SepConv':
    case 'DilConv':
    case 'NormSepConv':
    case 'NormDilConv': {
      // Depthwise and 1×1, and of a SepConv the same once more at the size of the output.
      const { type, input, output, kernel } = operation
      const times = type === 'SepConv' ? 2 : 1
      const outputs = output[0] * output[1] * output[2]
      return {
        calls: 1,
        MACs: times * outputs * output[2],
        ...Object.fromEntries(depthwiseFeatures(times * outputs, times * output[2], kernel, kernels)),
        'input values': input[0] * input[1] * input[2],
      }
    }
    case 'FactorizedReduce': {
      const { input, output } = operation
      const outputs = output[0] * output[1] * output[2]
      return { calls: 1, MACs: outputs * input[2], 'input values': input[0] * input[1] * input[2], 'output values': outputs }
    }
    case 'Add':
    case 'Concat':
      return { calls: 1, 'output values': operation.output[0] * operation.output[1] * operation.output[2] }
    case 'ResidualBlock': {
      const { input, output } = operation
      const pixels = output[0] * output[1]
      return {
        calls: 1,
        MACs: pixels * output[2] * (9 * input[2] + 9 * output[2] + input[2]),
        'input values': input[0] * input[1] * input[2],
        'output values': pixels * output[2],
      }
    }
    case 'Logits':
    case 'NormLogits': {
      const { input, classes } = operation
      return { calls: 1, 'pooled values': input[0] * input[1] * input[2], weights: input[2] * classes, classes }
    }
    case 'expanded_conv':
      return mbconvFeatures(operation, kernels)
    case 'ConvActivation': {
      const { input, output, kernel, activation } = operation
      const outputs = output[0] * output[1] * output[2]
      return {
        calls: 1,
        // Kernels of 1 are plain products of matrices.
        [`MACs, kernel of ${kernel}`]: outputs * input[2] * kernel ** 2,
        'input values': input[0] * input[1] * input[2],
        [`values through ${activation}`]: outputs,
        weights: input[2] * output[2] * kernel ** 2,
      }
    }
    case 'SplitDepthwise':
      return splitFeatures(operation, kernels)
    case 'ConvLinear': {
      const { input, output, shortcut } = operation
      const outputs = output[0] * output[1] * output[2]
      return {
        calls: 1,
        MACs: outputs * input[2],
        'input values': input[0] * input[1] * input[2],
        'output values': outputs,
        weights: input[2] * output[2],
        'shortcut values': shortcut ? outputs : 0,
      }
    }
    case 'TreeBlock':
      return treeFeatures(operation)
    default:
      return operation satisfies never
  }
}

export { type Features, operationFeatures, type Predictable, predictable, type PredictableType }
