import type { InferenceStep } from '../../../engine/executor/index.ts'
import { depthwisePadding } from '../../../search-space/layers/depthwise-conv2d.ts'
import { refuseLayer } from '../../../search-space/layers/refusal.ts'
import { centredPadding } from '../../../search-space/layers/windows.ts'
import { fusedNames, writeActivated } from './activation.ts'
import { FORMAT } from './rule.ts'
import { attribute, type GraphWriter } from './writer.ts'

type ConvolutionStep = InferenceStep<'conv2d'> | InferenceStep<'depthwiseConv2d'>

/** Names of an operation by itself, and with what is added and applied to its result. */
type ConvolutionNames = { readonly plain: string; readonly fused: string }

/**
 * One node where its kernel can do all of it: the sum with the bias, and ReLU or ReLU6. Padding is explicit, since TensorFlow's `same` is not the
 * same on every side where the stride is above 1 and the size even.
 */
function writeConvolution(step: ConvolutionStep, writer: GraphWriter, names: ConvolutionNames, filterShape: readonly number[]): void {
  const { bias, activation } = step
  const [input = ''] = writer.images(step)
  const applied = activation === 'none' ? undefined : fusedNames[activation]
  if (bias !== null && applied !== undefined) writePlain(step, writer, names, filterShape, writer.nameOf(step.id), input, [applied])
  else writeActivated(step, writer, (name) => void writePlain(step, writer, names, filterShape, name, input))
}

/** `applied`: what is applied to the sum with the bias. Returns the name. */
function writePlain(
  step: ConvolutionStep,
  writer: GraphWriter,
  { plain, fused }: ConvolutionNames,
  filterShape: readonly number[],
  name: string,
  input: string,
  applied: readonly string[] = [],
): string {
  const { layer, constants, bias } = step
  const { kernel, stride } = layer
  const padding = layer.kind === 'conv2d' ? centredPadding(kernel) : depthwisePadding(layer)
  const dilation = layer.kind === 'conv2d' ? 1 : (layer.dilation ?? 1)
  if (dilation > 1 && stride > 1) refuseLayer(step, FORMAT, `they have no convolution of stride ${stride} and dilation ${dilation} at once`)
  const filter = writer.constant(`${name}/filter`, filterShape, constants.filter)
  const settings = {
    strides: attribute.integers([1, stride, stride, 1]),
    padding: attribute.text(padding === 0 ? 'VALID' : 'EXPLICIT'),
    explicit_paddings: attribute.integers(padding === 0 ? [] : [0, 0, padding, padding, padding, padding, 0, 0]),
    dilations: attribute.integers([1, dilation, dilation, 1]),
    data_format: attribute.text('NHWC'),
  }
  if (bias === null) return writer.node(plain, name, [input, filter], settings)
  const added = writer.constant(`${name}/bias`, [bias.length], bias)
  return writer.node(fused, name, [input, filter, added], {
    ...settings,
    fused_ops: attribute.texts(['BiasAdd', ...applied]),
    num_args: attribute.integer(1),
    epsilon: attribute.float(0),
  })
}

export { writeConvolution, writePlain }
