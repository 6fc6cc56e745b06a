import type { GraphRule } from './rule.ts'

/** A Slice of all that is left: a size of -1. */
const crop: GraphRule<'crop'> = {
  write(step, writer) {
    const { top, left } = step.layer
    const name = writer.nameOf(step.id)
    const begin = writer.constant(`${name}/begin`, [4], Int32Array.of(0, top, left, 0))
    const size = writer.constant(`${name}/size`, [4], Int32Array.of(-1, -1, -1, -1))
    writer.node('Slice', name, [...writer.images(step), begin, size], { Index: { type: 'DT_INT32' } })
  },
}

export { crop }
