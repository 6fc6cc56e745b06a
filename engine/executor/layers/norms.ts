// What layers that take over a batch-norm share: its vectors and its gradients.

import * as tf from '@tensorflow/tfjs-core'

import type * as kernels from '../../kernels/operations.ts'
import type { NormFields } from '../step.ts'
import type { LayerContext } from './rule.ts'

/** The batch-norm that a convolution applies to its input, with the moments that come along with it. */
function inputNorm(norm: NormFields | undefined, inputs: readonly tf.Tensor[], { weights }: LayerContext): kernels.InputNorm | undefined {
  const [, mean, variance] = inputs
  if (!norm || !mean || !variance) return undefined
  const { epsilon, activation } = norm
  return { mean, variance, gamma: weights.get(norm.gamma), beta: weights.get(norm.beta), epsilon, activation }
}

/** Moments that were given for a batch-norm, as tensors. */
function givenMoments(gamma: string, { statistics }: LayerContext): [mean: tf.Tensor, variance: tf.Tensor] | undefined {
  const given = statistics?.get(gamma)
  return given && [tf.tensor1d(given.mean), tf.tensor1d(given.variance)]
}

function addNormGradients(
  { gamma, beta }: { readonly gamma: string; readonly beta: string },
  { dgamma, dbeta }: Pick<kernels.NormGradients, 'dgamma' | 'dbeta'>,
  wanted: boolean,
  weights: [string, tf.Tensor][],
): void {
  if (wanted) weights.push([gamma, dgamma], [beta, dbeta])
  else tf.dispose([dgamma, dbeta])
}

export { addNormGradients, givenMoments, inputNorm }
