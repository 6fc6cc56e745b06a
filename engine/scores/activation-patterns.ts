// Which units a mini-batch switches on: 1 where the output of a rectifier is above 0.

import * as tf from '@tensorflow/tfjs-core'
import type { Activation } from '../../search-space/index.ts'
import { type Collected, collectOutputs } from '../executor/index.ts'
import type { ScoredNetwork } from './score.ts'

/** Whether an activation's output has the sign of what it reads: gates are on for everybody. */
const rectifies = {
  relu: true,
  relu6: true,
  swish: true,
  hardSwish: true,
  sigmoid: false,
  hardSigmoid: false,
} as const satisfies Record<Activation, boolean>

function isRectifier(step: Collected['step']): boolean {
  if (step.kind === 'activation') return rectifies[step.layer.activation]
  return step.kind === 'batchNorm' && step.activation !== 'none'
}

/** What `collect` makes of each rectifier's pattern: [batch, units] of 0 and 1. */
async function collectPatterns(network: ScoredNetwork, collect: (pattern: tf.Tensor2D) => tf.Tensor): Promise<Float32Array[]> {
  const batch = network.labels.length
  const found = await collectOutputs(network, (step, output) => {
    if (!isRectifier(step)) return undefined
    return collect(tf.reshape(tf.cast(tf.greater(output, 0), 'float32'), [batch, output.size / batch]))
  })
  return found.map(({ values }) => values)
}

export { collectPatterns, rectifies }
