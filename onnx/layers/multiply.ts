import { inputNames, type OnnxRule } from './rule.ts'

const multiply: OnnxRule<'multiply'> = {
  write: (step, writer) => void writer.node('Mul', step.id, inputNames(step, writer), writer.tensor(step.id)),
}

export { multiply }
