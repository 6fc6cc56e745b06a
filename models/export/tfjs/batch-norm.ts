import { writeActivated } from './activation.ts'
import type { TfjsRule } from './rule.ts'

const batchNorm: TfjsRule<'batchNorm'> = {
  write(step, writer) {
    const { layer, constants, statistics } = step
    const channels = constants.gamma.length
    const { mean, variance } = statistics ?? { mean: new Float32Array(channels), variance: new Float32Array(channels).fill(1) }
    const [input = ''] = writer.images(step)
    writeActivated(step, writer, (name) =>
      writer.batchNorm(name, input, layer.epsilon, { gamma: constants.gamma, beta: constants.beta, mean, variance }),
    )
  },
}

export { batchNorm }
