import * as tf from '@tensorflow/tfjs-core'

import type { Activation } from '../../../search-space/layers/activation.ts'
import { clampGradient, type FusedActivation, swish, swishGradient } from '../../kernels/operations.ts'
import { relu6 } from '../../kernels/relu6.ts'
import { type LayerRule, only } from './rule.ts'

type ActivationRule = {
  /** In operations of TensorFlow.js's own, which is what runtimes for inference have. */
  plain(x: tf.Tensor4D): tf.Tensor4D
  /** With a kernel of ours. Default: `plain`. */
  forward?(x: tf.Tensor4D): tf.Tensor4D
  /** dy times the derivative at x; where the function bends, that of its flat side. */
  gradient(x: tf.Tensor4D, dy: tf.Tensor4D): tf.Tensor4D
  /** Whether kernels can apply it as they write. */
  readonly fuses?: FusedActivation
}

/** relu6(x + 3) / 6 */
function hardSigmoid(x: tf.Tensor4D): tf.Tensor4D {
  const shifted = tf.add<tf.Tensor4D>(x, 3)
  return tf.div(relu6(shifted), 6)
}

/** 1 where -3 < x < 3. */
function inside(x: tf.Tensor4D): tf.Tensor4D {
  const open: tf.Tensor4D = tf.logicalAnd(tf.greater(x, -3), tf.less(x, 3))
  return tf.cast(open, 'float32')
}

const activationRules: { readonly [Name in Activation]: ActivationRule } = {
  relu: { plain: (x) => tf.relu(x), gradient: (x, dy) => clampGradient(x, dy, 'relu'), fuses: 'relu' },
  relu6: { plain: (x) => relu6(x), gradient: (x, dy) => clampGradient(x, dy, 'relu6'), fuses: 'relu6' },
  sigmoid: {
    plain: (x) => tf.sigmoid(x),
    gradient(x, dy) {
      const y = tf.sigmoid(x)
      return tf.mul(dy, tf.mul(y, tf.sub(1, y)))
    },
  },
  swish: { plain: (x) => tf.mul(x, tf.sigmoid(x)), forward: swish, gradient: swishGradient },
  hardSigmoid: { plain: hardSigmoid, gradient: (x, dy) => tf.div(tf.mul(dy, inside(x)), 6) },
  hardSwish: {
    plain: (x) => tf.mul(x, hardSigmoid(x)),
    gradient: (x, dy) => tf.mul(dy, tf.add(hardSigmoid(x), tf.div(tf.mul(x, inside(x)), 6))),
  },
}

/** Applies an activation that a kernel would apply as it writes. */
function applyFused(x: tf.Tensor4D, activation: FusedActivation): tf.Tensor4D {
  return activation === 'none' ? x : activationRules[activation].plain(x)
}

/** What kernels call an activation that they can apply as they write; undefined for others. */
function fusedForm(activation: Activation): FusedActivation | undefined {
  return activationRules[activation].fuses
}

const activation: LayerRule<'activation'> = {
  forward({ layer }, inputs) {
    const { forward, plain } = activationRules[layer.activation]
    return { outputs: [tf.tidy(() => (forward ?? plain)(only(inputs)))] }
  },
  reverse({ step, inputs, dy }) {
    const { gradient } = activationRules[step.layer.activation]
    return { inputs: [tf.tidy(() => gradient(only(inputs), dy as tf.Tensor4D))] }
  },
  readsInputs: () => true,
  prepare: ({ layer }) => ({ run: (inputs) => activationRules[layer.activation].plain(only(inputs)) }),
}

export { activation, applyFused, fusedForm }
