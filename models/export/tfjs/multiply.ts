import type { TfjsRule } from './rule.ts'

const multiply: TfjsRule<'multiply'> = {
  write: (step, writer) => void writer.layer('Multiply', writer.nameOf(step.id), writer.images(step), {}),
}

export { multiply }
