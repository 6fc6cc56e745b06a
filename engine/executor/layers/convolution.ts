// Both kinds of convolution, with the batch-norms in front of them and behind them.

import * as tf from '@tensorflow/tfjs-core'

import type { LayerOf } from '../../../search-space/layer-graph.ts'
import { centredPadding } from '../../../search-space/layers/windows.ts'
import type * as kernels from '../../kernels/operations.ts'
import { addNormGradients, givenMoments, inputNorm } from './norms.ts'
import { type InferenceStep, type LayerRule, only, type PreparedLayer, withBatch } from './rule.ts'

type ConvolutionKind = 'conv2d' | 'depthwiseConv2d'

type FusedOperation = typeof tf.fused.conv2d | typeof tf.fused.depthwiseConv2d

type Operations = {
  readonly forward: typeof kernels.conv2d
  readonly gradient: typeof kernels.conv2dGradient
  /** TensorFlow.js's own, for inference. */
  readonly fused: FusedOperation
}

/** As training pads (search-space/layers/windows.ts), in a form that every backend's fused operations take. */
function paddingOf({ kernel, stride }: { readonly kernel: number; readonly stride: number }): 'same' {
  if (stride === 1) return 'same'
  const padding = centredPadding(kernel)
  const sides = [padding, padding]
  // TensorFlow.js computes with explicit padding for both kinds of convolution, but declares it for one only.
  return [[0, 0], sides, sides, [0, 0]] as unknown as 'same'
}

/** [kernel, kernel, in, out], or with one output per channel [kernel, kernel, channels, 1]. */
function filterShape({ kind, layer, inputShapes, shape }: InferenceStep<ConvolutionKind>): [number, number, number, number] {
  const { kernel } = layer
  return [kernel, kernel, inputShapes[0]?.[2] ?? 1, kind === 'conv2d' ? shape[2] : 1]
}

/**
 * How TensorFlow.js is to run a layer: it takes a stride or a dilation, not both. A stride that is a multiple of the dilation only ever
 * meets every `every`-th pixel, and is a smaller one over these.
 */
function windowOf(layer: LayerOf<ConvolutionKind>) {
  const dilation = 'dilation' in layer ? (layer.dilation ?? 1) : 1
  const { kernel, stride } = layer
  if (stride === 1) return { every: 1, strides: 1, dilations: dilation, pad: 'same' } as const
  const strides = stride / dilation
  return { every: dilation, strides, dilations: 1, pad: paddingOf({ kernel, stride: strides }) } as const
}

function everyPixel(x: tf.Tensor4D, every: number): tf.Tensor4D {
  return every === 1 ? x : (tf.stridedSlice(x, [0, 0, 0, 0], x.shape, [1, every, every, 1]) as tf.Tensor4D)
}

function prepareConvolution(step: InferenceStep<ConvolutionKind>, operation: FusedOperation): PreparedLayer {
  const filter = tf.keep(tf.tensor4d(step.constants.filter.slice(), filterShape(step)))
  const bias = tf.keep(tf.tensor1d(step.bias?.slice() ?? new Float32Array(step.shape[2])))
  const activation = step.activation === 'none' ? 'linear' : step.activation
  const { every, ...window } = windowOf(step.layer)
  const fixed = { filter, bias, ...window, activation } as const
  return { owned: [filter, bias], run: (inputs) => operation({ x: everyPixel(only(inputs), every), ...fixed }) }
}

function convolutionRule(
  operations: Operations,
  takesNorms: {
    readonly before: (layer: LayerOf<ConvolutionKind>) => boolean
    readonly behind: (layer: LayerOf<ConvolutionKind>) => boolean
  },
): LayerRule<ConvolutionKind> {
  return {
    forward(step, inputs, context) {
      const norm = inputNorm(step.before, inputs, context)
      const given = step.behind && givenMoments(step.behind.gamma, context)
      const filter = context.weights.get(step.layer.filter)
      const statistics = step.behind !== undefined && given === undefined
      const { y, moments } = operations.forward(only(inputs), filter, step.layer.stride, { ...(norm && { norm }), statistics })
      if (!step.behind) return { outputs: [y] }
      if (!moments) return { outputs: [y, ...(given ?? [])] }
      context.observe?.(step.behind.gamma, moments.mean, moments.variance)
      return { outputs: [y, moments.mean, moments.variance] }
    },
    reverse({ step, inputs, output, dy, coefficients, wantInput, wantWeights, context }) {
      const { before, behind, layer } = step
      const norm = inputNorm(before, inputs, context)
      const filter = context.weights.get(layer.filter)
      const x = inputs[0]
      const { dx, dfilter, normGradients } = operations.gradient({
        ...(x && { x }),
        inputShape: withBatch(dy, step.inputShapes[0]),
        filter,
        stride: layer.stride,
        dy,
        ...(norm && { norm }),
        ...(coefficients && behind && output && { deferred: { y: output, coefficients, activation: behind.activation } }),
        wantInput,
        wantFilter: wantWeights,
      })
      const weights: [string, tf.Tensor][] = dfilter ? [[layer.filter, dfilter]] : []
      if (before && normGradients) addNormGradients(before, normGradients, wantWeights, weights)
      return { inputs: [dx], weights, ...(normGradients && { coefficients: normGradients.coefficients }) }
    },
    readsInputs: (step, wantWeights) => wantWeights || step.before !== undefined,
    readsOutput: (step) => step.behind !== undefined,
    norms: {
      normalisesInput: takesNorms.before,
      measuresOutput: takesNorms.behind,
      // The output channel is the fastest index in both layouts: a depthwise filter ends in a 1.
      fold: ({ filter }, scale) => ({ filter: filter.map((value, i) => value * (scale[i % scale.length] as number)) }),
    },
    prepare: (step) => prepareConvolution(step, operations.fused),
  }
}

export { type ConvolutionKind, convolutionRule }
