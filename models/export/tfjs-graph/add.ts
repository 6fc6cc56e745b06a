import type { GraphRule } from './rule.ts'

const add: GraphRule<'add'> = { write: (step, writer) => void writer.node('AddV2', writer.nameOf(step.id), writer.images(step)) }

export { add }
