import { groupSteps, type InferenceStep } from '../../../engine/executor/index.ts'
import { writeActivated } from './activation.ts'
import { takeChannels } from './channel-range.ts'
import { type KerasConvolution, writeConvolution, writePlain } from './convolution.ts'
import type { TfjsRule } from './rule.ts'
import type { TfjsWriter } from './writer.ts'

function kerasOf({ layer, shape, inputShapes }: InferenceStep<'conv2d'>): KerasConvolution {
  const { kernel } = layer
  const filterShape = [kernel, kernel, inputShapes[0]?.[2] ?? 1, shape[2]]
  return { className: 'Conv2D', config: { filters: shape[2] }, filterName: 'kernel', filterShape }
}

/** Its convolutions have no groups: one for each, and their outputs side by side. */
function writeGroups(step: InferenceStep<'conv2d'>, writer: TfjsWriter): void {
  const channels = step.inputShapes[0]?.[2] ?? 1
  const [input = ''] = writer.images(step)
  writeActivated(step, writer, (name) => {
    const parts = groupSteps(step).map((group, index) => {
      const run = group.inputShapes[0]?.[2] ?? 1
      const part = takeChannels(writer, `${name}_part${index}`, input, index * run, run, channels)
      return writePlain(group, writer, kerasOf(group), `${name}_group${index}`, [part])
    })
    writer.layer('Concatenate', name, parts, { axis: -1 })
  })
}

const conv2d: TfjsRule<'conv2d'> = {
  write(step, writer) {
    if ((step.layer.groups ?? 1) > 1) writeGroups(step, writer)
    else writeConvolution(step, writer, kerasOf(step))
  },
}

export { conv2d }
