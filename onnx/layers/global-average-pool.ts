import { inputNames, type OnnxRule } from './rule.ts'

const globalAveragePool: OnnxRule<'globalAveragePool'> = {
  write: (step, writer) => void writer.node('GlobalAveragePool', step.id, inputNames(step, writer), writer.tensor(step.id)),
}

export { globalAveragePool }
