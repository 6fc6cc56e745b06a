import { float } from '../writer.ts'
import { writeActivated } from './activation.ts'
import { inputNames, type OnnxRule } from './rule.ts'

const batchNorm: OnnxRule<'batchNorm'> = {
  write(step, writer) {
    const { id, layer, constants, statistics } = step
    const dims = [constants.gamma.length]
    const vectors = {
      gamma: constants.gamma,
      beta: constants.beta,
      mean: statistics?.mean ?? new Float32Array(constants.gamma.length),
      variance: statistics?.variance ?? new Float32Array(constants.gamma.length).fill(1),
    }
    const given = Object.entries(vectors).map(([name, values]) => writer.floats(`${id}/${name}`, dims, values))
    writeActivated(step, writer, (output) =>
      writer.node('BatchNormalization', id, [...inputNames(step, writer), ...given], output, [float('epsilon', layer.epsilon)]),
    )
  },
}

export { batchNorm }
