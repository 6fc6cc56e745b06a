import { int } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

/** Zeros of the step's shape, as many as there are images. */
const zero: OnnxRule<'zero'> = {
  write(step, writer) {
    const { id, shape } = step
    const [height, width, channels] = shape
    const batch = writer.node('Shape', `${id}/batch`, inputNames(step, writer), `${id}/batch`, [int('start', 0), int('end', 1)])
    const sizes = writer.int64s(`${id}/sizes`, [channels, height, width])
    const whole = writer.node('Concat', `${id}/shape`, [batch, sizes], `${id}/shape`, [int('axis', 0)])
    writer.node('ConstantOfShape', id, [whole], writer.tensor(id))
  },
}

export { zero }
