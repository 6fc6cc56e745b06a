import { int } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

const CHANNEL_AXIS = 1

const concat: OnnxRule<'concat'> = {
  write: (step, writer) =>
    void writer.node('Concat', step.id, inputNames(step, writer), writer.tensor(step.id), [int('axis', CHANNEL_AXIS)]),
}

export { concat }
