import type { InferenceStep } from '../../../engine/executor/index.ts'
import { centredPadding } from '../../../search-space/layers/windows.ts'
import { writeActivated } from './activation.ts'
import type { TfjsWriter } from './writer.ts'

type ConvolutionStep = InferenceStep<'conv2d'> | InferenceStep<'depthwiseConv2d'>

/** What differs between the two kinds in Keras. */
type KerasConvolution = {
  readonly className: string
  readonly config: Readonly<Record<string, unknown>>
  readonly filterName: string
  readonly filterShape: readonly number[]
}

/**
 * `same` padding of TensorFlow is not the same on every side where stride is above 1 and the size is even, so there the zeros are
 * a layer of their own. Returns the name; the activation is left to the caller.
 */
function writePlain(step: ConvolutionStep, writer: TfjsWriter, keras: KerasConvolution, name: string, images: readonly string[]): string {
  const { layer, constants, bias } = step
  const { kernel, stride } = layer
  const padding = centredPadding(kernel)
  const isPadded = stride > 1 && padding > 0
  let inputs = images
  if (isPadded) {
    const sides = [padding, padding]
    inputs = [writer.layer('ZeroPadding2D', `${name}_pad`, images, { padding: [sides, sides], data_format: 'channels_last' })]
  }
  writer.layer(keras.className, name, inputs, {
    ...keras.config,
    kernel_size: [kernel, kernel],
    strides: [stride, stride],
    padding: isPadded || padding === 0 ? 'valid' : 'same',
    data_format: 'channels_last',
    dilation_rate: [1, 1],
    activation: 'linear',
    use_bias: bias !== null,
  })
  writer.weight(name, keras.filterName, keras.filterShape, constants.filter)
  if (bias) writer.weight(name, 'bias', [bias.length], bias)
  return name
}

function writeConvolution(step: ConvolutionStep, writer: TfjsWriter, keras: KerasConvolution): void {
  writeActivated(step, writer, (name) => void writePlain(step, writer, keras, name, writer.images(step)))
}

export { type KerasConvolution, writeConvolution, writePlain }
