import { groupSteps, type InferenceStep } from '../../../engine/executor/index.ts'
import { writeActivated } from './activation.ts'
import { takeChannels } from './channel-range.ts'
import { writeConvolution, writePlain } from './convolution.ts'
import type { GraphRule } from './rule.ts'
import { attribute, type GraphWriter } from './writer.ts'

const names = { plain: 'Conv2D', fused: '_FusedConv2D' } as const

function filterShape({ layer, shape, inputShapes }: InferenceStep<'conv2d'>): number[] {
  const { kernel } = layer
  return [kernel, kernel, inputShapes[0]?.[2] ?? 1, shape[2]]
}

/** TensorFlow.js knows no groups: one convolution for each, and their outputs side by side. */
function writeGroups(step: InferenceStep<'conv2d'>, writer: GraphWriter): void {
  const [input = ''] = writer.images(step)
  writeActivated(step, writer, (name) => {
    const parts = groupSteps(step).map((group, index) => {
      const run = group.inputShapes[0]?.[2] ?? 1
      const part = takeChannels(writer, `${name}/part${index}`, input, index * run, run)
      return writePlain(group, writer, names, filterShape(group), `${name}/group${index}`, part)
    })
    const axis = writer.constant('constants/last_axis', [], Int32Array.of(-1))
    writer.node('ConcatV2', name, [...parts, axis], { N: attribute.integer(parts.length), Tidx: { type: 'DT_INT32' } })
  })
}

const conv2d: GraphRule<'conv2d'> = {
  write(step, writer) {
    if ((step.layer.groups ?? 1) > 1) writeGroups(step, writer)
    else writeConvolution(step, writer, names, filterShape(step))
  },
}

export { conv2d }
