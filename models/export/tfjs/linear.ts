import type { TfjsRule } from './rule.ts'

const linear: TfjsRule<'linear'> = {
  write(step, writer) {
    const { constants, shape } = step
    const units = shape[2]
    const name = writer.nameOf(step.id)
    writer.vectorLayer('Dense', name, [writer.vector(step)], { units, activation: 'linear', use_bias: true })
    writer.weight(name, 'kernel', [constants.weights.length / units, units], constants.weights)
    writer.weight(name, 'bias', [units], constants.bias)
  },
}

export { linear }
