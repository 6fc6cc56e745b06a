import type { TfjsRule } from './rule.ts'

const concat: TfjsRule<'concat'> = {
  write: (step, writer) => void writer.layer('Concatenate', writer.nameOf(step.id), writer.images(step), { axis: -1 }),
}

export { concat }
