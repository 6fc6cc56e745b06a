import type { TfjsRule } from './rule.ts'

const add: TfjsRule<'add'> = {
  write: (step, writer) => void writer.layer('Add', writer.nameOf(step.id), writer.images(step), {}),
}

export { add }
