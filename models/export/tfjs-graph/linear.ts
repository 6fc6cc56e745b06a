import type { GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

const linear: GraphRule<'linear'> = {
  write(step, writer) {
    const { constants, shape } = step
    const outputs = shape[2]
    const inputs = constants.weights.length / outputs
    const name = writer.nameOf(step.id)
    const weights = writer.constant(`${name}/weights`, [inputs, outputs], constants.weights)
    const bias = writer.constant(`${name}/bias`, [outputs], constants.bias)
    writer.vectorNode('_FusedMatMul', name, [writer.vector(step, inputs), weights, bias], {
      transpose_a: attribute.flag(false),
      transpose_b: attribute.flag(false),
      fused_ops: attribute.texts(['BiasAdd']),
      num_args: attribute.integer(1),
      epsilon: attribute.float(0),
    })
  },
}

export { linear }
