// Layer graphs are NHWC with filters [height, width, in, out]; ONNX wants [out, in, height, width]. Only data that is written
// changes order: no Transpose node is left in the network.

import type { InferenceStep } from '../../engine/executor/index.ts'
import { depthwisePadding } from '../../search-space/layers/depthwise-conv2d.ts'
import { centredPadding } from '../../search-space/layers/windows.ts'
import { reorderAxes } from '../reorder.ts'
import { int, ints } from '../writer.ts'
import { writeActivated } from './activation.ts'
import { inputNames, type OnnxRule } from './rule.ts'

type ConvolutionKind = 'conv2d' | 'depthwiseConv2d'

/** The filter's axes in both layouts, and the number of groups. */
type Layout = { readonly shape: readonly number[]; readonly order: readonly number[]; readonly groups: number }

type LayoutOf = (kernel: number, inChannels: number, outChannels: number, groups: number) => Layout

function convolutionRule(layoutOf: LayoutOf) {
  return {
    write(step: InferenceStep<ConvolutionKind>, writer) {
      const { id, layer, constants, bias, shape } = step
      const { kernel, stride } = layer
      const layout = layoutOf(kernel, step.inputShapes[0]?.[2] ?? 1, shape[2], layer.kind === 'conv2d' ? (layer.groups ?? 1) : 1)
      const dims = layout.order.map((axis) => layout.shape[axis] as number)
      const padding = layer.kind === 'conv2d' ? centredPadding(kernel) : depthwisePadding(layer)
      const dilation = layer.kind === 'conv2d' ? 1 : (layer.dilation ?? 1)
      const given = [
        ...inputNames(step, writer),
        writer.floats(`${id}/filter`, dims, reorderAxes(constants.filter, layout.shape, layout.order)),
      ]
      if (bias) given.push(writer.floats(`${id}/bias`, [bias.length], bias))
      writeActivated(step, writer, (output) =>
        writer.node('Conv', id, given, output, [
          int('group', layout.groups),
          ints('kernel_shape', [kernel, kernel]),
          ints('pads', [padding, padding, padding, padding]),
          ints('strides', [stride, stride]),
          ints('dilations', [dilation, dilation]),
        ]),
      )
    },
  } satisfies OnnxRule<ConvolutionKind>
}

export { convolutionRule }
