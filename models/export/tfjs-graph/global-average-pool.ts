import type { GraphRule } from './rule.ts'
import { attribute } from './writer.ts'

const globalAveragePool: GraphRule<'globalAveragePool'> = {
  write(step, writer) {
    const axes = writer.constant('constants/rows_and_columns', [2], Int32Array.of(1, 2))
    writer.vectorNode('Mean', writer.nameOf(step.id), [...writer.images(step), axes], {
      Tidx: { type: 'DT_INT32' },
      keep_dims: attribute.flag(false),
    })
  },
}

export { globalAveragePool }
