import * as tf from '@tensorflow/tfjs-core'

import type { Activation } from '../../../search-space/layers/activation.ts'
import { clampGradient, type FusedActivation } from '../../kernels/operations.ts'
import { relu6 } from '../../kernels/relu6.ts'
import { type LayerRule, only } from './rule.ts'

type ActivationRule = {
  forward(x: tf.Tensor4D): tf.Tensor4D
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
  relu: { forward: (x) => tf.relu(x), gradient: (x, dy) => clampGradient(x, dy, 'relu'), fuses: 'relu' },
  relu6: { forward: (x) => relu6(x), gradient: (x, dy) => clampGradient(x, dy, 'relu6'), fuses: 'relu6' },
  sigmoid: {
    forward: (x) => tf.sigmoid(x),
    gradient(x, dy) {
      const y = tf.sigmoid(x)
      return tf.mul(dy, tf.mul(y, tf.sub(1, y)))
    },
  },
  swish: {
    forward: (x) => tf.mul(x, tf.sigmoid(x)),
    gradient(x, dy) {
      const s = tf.sigmoid(x)
      return tf.mul(dy, tf.mul(s, tf.add(1, tf.mul(x, tf.sub(1, s)))))
    },
  },
  hardSigmoid: { forward: hardSigmoid, gradient: (x, dy) => tf.div(tf.mul(dy, inside(x)), 6) },
  hardSwish: {
    forward: (x) => tf.mul(x, hardSigmoid(x)),
    gradient: (x, dy) => tf.mul(dy, tf.add(hardSigmoid(x), tf.div(tf.mul(x, inside(x)), 6))),
  },
}

/** Applies an activation that a kernel would apply as it writes. */
function applyFused(x: tf.Tensor4D, activation: FusedActivation): tf.Tensor4D {
  return activation === 'none' ? x : activationRules[activation].forward(x)
}

/** What kernels call an activation that they can apply as they write; undefined for others. */
function fusedForm(activation: Activation): FusedActivation | undefined {
  return activationRules[activation].fuses
}

const activation: LayerRule<'activation'> = {
  forward: ({ layer }, inputs) => ({ outputs: [tf.tidy(() => activationRules[layer.activation].forward(only(inputs)))] }),
  reverse({ step, inputs, dy }) {
    const { gradient } = activationRules[step.layer.activation]
    return { inputs: [tf.tidy(() => gradient(only(inputs), dy as tf.Tensor4D))] }
  },
  readsInputs: () => true,
  prepare: ({ layer }) => ({ run: (inputs) => activationRules[layer.activation].forward(only(inputs)) }),
}

export { activation, applyFused, fusedForm }
