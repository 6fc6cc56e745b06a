// Dilated depthwise convolutions as plain ones. Taps that are d pixels apart only ever meet pixels whose rows and columns leave the same
// remainders by d: each of these d² phases of an image (kernels/operations.ts) is convolved by itself, at stride 1 or, where the stride
// is a multiple of d, the first phase alone at stride / d.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf, Shape } from '../../../search-space/layer-graph.ts'
import * as kernels from '../../kernels/operations.ts'
import type { LayerStep } from '../step.ts'
import { type Gradients, type LayerContext, only, type ReverseArguments } from './rule.ts'

type Depthwise = LayerOf<'depthwiseConv2d'>
type Step = LayerStep<'depthwiseConv2d'>

/** Phases of what is read and of what is made: of that all pixels are one image where the stride leaves the others out. */
function phasesOf({ dilation = 1, stride }: Depthwise): { readonly read: kernels.Phases; readonly isWhole: boolean } {
  const isWhole = stride === 1
  return { read: { dilation, phases: isWhole ? dilation ** 2 : 1 }, isWhole }
}

const phaseShape = ([height, width, channels]: Shape, { dilation }: kernels.Phases): Shape => {
  return [Math.ceil(height / dilation), Math.ceil(width / dilation), channels]
}

/** The convolution of one phase. */
function innerStep(step: Step): Step {
  const { layer, inputShapes, shape } = step
  const { dilation = 1, stride } = layer
  const { read, isWhole } = phasesOf(layer)
  const inner = { ...layer, dilation: 1, stride: isWhole ? 1 : stride / dilation }
  return {
    ...step,
    layer: inner,
    inputShapes: inputShapes.map((from) => phaseShape(from, read)),
    shape: isWhole ? phaseShape(shape, read) : shape,
  }
}

/** @param run the plain convolution */
function forwardDilated(
  step: Step,
  inputs: readonly tf.Tensor[],
  context: LayerContext,
  run: (step: Step, inputs: readonly tf.Tensor[], context: LayerContext) => { readonly outputs: readonly tf.Tensor[] },
): tf.Tensor4D {
  const { read, isWhole } = phasesOf(step.layer)
  const x = kernels.splitPhases(only(inputs), read)
  const y = only(run(innerStep(step), [x], context).outputs)
  x.dispose()
  if (!isWhole) return y
  const joined = kernels.joinPhases(y, read, step.shape[0], step.shape[1])
  y.dispose()
  return joined
}

/** @param run the reverse of the plain convolution */
function reverseDilated(
  given: ReverseArguments<'depthwiseConv2d'>,
  run: (given: ReverseArguments<'depthwiseConv2d'>) => Gradients,
): Gradients {
  const { step, inputs } = given
  const { read, isWhole } = phasesOf(step.layer)
  const [height, width] = step.inputShapes[0] as Shape
  const split = inputs.map((input) => kernels.splitPhases(input, read))
  const dy = isWhole ? kernels.splitPhases(given.dy, read) : given.dy
  const { inputs: gradients, weights } = run({ ...given, step: innerStep(step), inputs: split, dy })
  tf.dispose(split)
  if (dy !== given.dy) dy.dispose()
  const joined = gradients.map((dx) => dx && kernels.joinPhases(dx, read, height, width))
  for (const dx of gradients) dx?.dispose()
  return { inputs: joined, ...(weights && { weights }) }
}

export { forwardDilated, reverseDilated }
