import * as tf from '@tensorflow/tfjs-core'

import * as kernels from '../../kernels/operations.ts'
import { applyFused } from './activation.ts'
import { addNormGradients, givenMoments } from './norms.ts'
import { type ChannelStatistics, type InferenceStep, type LayerRule, only } from './rule.ts'

/** scale = gamma / sqrt(variance + epsilon), offset = beta - mean * scale; without statistics mean 0 and variance 1. */
function scaleAndOffset(
  { gamma, beta }: InferenceStep<'batchNorm'>['constants'],
  epsilon: number,
  statistics: ChannelStatistics | null,
): { scale: Float32Array; offset: Float32Array } {
  const scale = gamma.map((value, c) => value / Math.sqrt((statistics?.variance[c] ?? 1) + epsilon))
  const offset = beta.map((value, c) => value - (statistics?.mean[c] ?? 0) * (scale[c] as number))
  return { scale, offset }
}

/** Reads a tensor, or a convolution's output and its moments. */
const batchNorm: LayerRule<'batchNorm'> = {
  forward({ layer, activation }, inputs, context) {
    const x = only(inputs)
    const { epsilon } = layer
    const gamma = context.weights.get(layer.gamma)
    const beta = context.weights.get(layer.beta)
    const [, mean, variance] = inputs
    if (mean && variance) return { outputs: [kernels.batchNormApply({ x, mean, variance, gamma, beta }, { epsilon, activation })] }
    const given = givenMoments(layer.gamma, context)
    if (given) {
      const [givenMean, givenVariance] = given
      const output = kernels.batchNormApply({ x, mean: givenMean, variance: givenVariance, gamma, beta }, { epsilon, activation })
      tf.dispose(given)
      return { outputs: [output] }
    }
    const made = kernels.batchNormTrain(x, gamma, beta, { epsilon, activation })
    context.observe?.(layer.gamma, made.mean, made.variance)
    return { outputs: [made.y], made: [made.mean, made.variance] }
  },
  reverse({ step, inputs, made, dy, ownsDy, wantWeights, context }) {
    const { layer, activation } = step
    const { epsilon } = layer
    const isDeferred = inputs.length > 1
    const [mean, variance] = isDeferred ? inputs.slice(1) : made
    if (!mean || !variance) throw new Error(`${step.id}: no reverse pass with given statistics`)
    const gamma = context.weights.get(layer.gamma)
    const beta = context.weights.get(layer.beta)
    const given = { x: only(inputs), dy, mean, variance, gamma, beta }
    const weights: [string, tf.Tensor][] = []
    if (isDeferred) {
      const gradients = kernels.batchNormDefer(given, { epsilon, activation })
      addNormGradients(layer, gradients, wantWeights, weights)
      return { inputs: [dy], weights, coefficients: gradients.coefficients }
    }
    const { dx, ...gradients } = kernels.batchNormGrad(given, { epsilon, activation, overwriteDy: ownsDy })
    addNormGradients(layer, gradients, wantWeights, weights)
    return { inputs: [dx], weights }
  },
  readsInputs: () => true,
  prepare({ constants, layer, statistics, activation }) {
    const { scale, offset } = scaleAndOffset(constants, layer.epsilon, statistics)
    const owned = [tf.keep(tf.tensor1d(scale)), tf.keep(tf.tensor1d(offset))] as const
    return { owned, run: (inputs) => applyFused(tf.add<tf.Tensor4D>(tf.mul(only(inputs), owned[0]), owned[1]), activation) }
  },
}

export { batchNorm, scaleAndOffset }
