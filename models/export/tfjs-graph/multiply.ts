import type { GraphRule } from './rule.ts'

const multiply: GraphRule<'multiply'> = {
  write: (step, writer) => void writer.node('Mul', writer.nameOf(step.id), writer.images(step)),
}

export { multiply }
