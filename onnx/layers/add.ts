import { inputNames, type OnnxRule } from './rule.ts'

const add: OnnxRule<'add'> = {
  write: (step, writer) => void writer.node('Add', step.id, inputNames(step, writer), writer.tensor(step.id)),
}

export { add }
