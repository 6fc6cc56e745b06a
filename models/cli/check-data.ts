import { CliError } from '../../command-line/exit-codes.ts'
import type { Dataset } from '../../engine/datasets/index.ts'
import type { Space } from '../../search-space/index.ts'

/** Throws CliError `usage`, with both named, where networks of the space take other images than there are. */
function checkData(space: Space, { shape, classes }: Dataset): void {
  if (space.input.join() === shape.join() && space.classes === classes) return
  throw new CliError(
    'usage',
    `the space ${space.name} takes images of ${space.input.join('×')} in ${space.classes} classes, the data are ${shape.join('×')} in ${classes}`,
  )
}

export { checkData }
