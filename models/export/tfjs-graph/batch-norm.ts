import { writeActivated } from './activation.ts'
import type { GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

const batchNorm: GraphRule<'batchNorm'> = {
  write(step, writer) {
    const { layer, constants, statistics } = step
    const channels = constants.gamma.length
    const { mean, variance } = statistics ?? { mean: new Float32Array(channels), variance: new Float32Array(channels).fill(1) }
    const [input = ''] = writer.images(step)
    const name = writer.nameOf(step.id)
    const vectors = Object.entries({ gamma: constants.gamma, beta: constants.beta, mean, variance })
    writeActivated(step, writer, (own) => {
      const inputs = vectors.map(([vector, values]) => writer.constant(`${name}/${vector}`, [channels], values))
      writer.node('FusedBatchNormV3', own, [input, ...inputs], {
        U: { type: 'DT_FLOAT' },
        epsilon: attribute.float(layer.epsilon),
        is_training: attribute.flag(false),
        data_format: attribute.text('NHWC'),
      })
    })
  },
}

export { batchNorm }
