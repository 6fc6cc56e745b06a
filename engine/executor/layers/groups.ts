// A convolution in groups as several without, for what has none.

import type { InferenceStep } from './rule.ts'

/** Columns `first` to `first + count` of a matrix with rows of `width` values. */
function columns(values: Float32Array, width: number, first: number, count: number): Float32Array {
  const rows = values.length / width
  return Float32Array.from({ length: rows * count }, (_, i) => values[Math.floor(i / count) * width + first + (i % count)] as number)
}

/**
 * One step for each group, which reads its run of the input's channels and makes its run of the output's; side by side these are the output.
 * All have the id of the whole.
 */
function groupSteps(step: InferenceStep<'conv2d'>): InferenceStep<'conv2d'>[] {
  const { layer, inputShapes, shape, constants, bias } = step
  const { groups = 1 } = layer
  const [height, width, channels] = shape
  const outputs = channels / groups
  return Array.from({ length: groups }, (_, group) => ({
    ...step,
    layer: { ...layer, groups: 1 },
    inputShapes: inputShapes.map(([rows, across, inputs]) => [rows, across, inputs / groups] as const),
    shape: [height, width, outputs],
    constants: { filter: columns(constants.filter, channels, group * outputs, outputs) },
    bias: bias && bias.slice(group * outputs, (group + 1) * outputs),
  }))
}

export { groupSteps }
