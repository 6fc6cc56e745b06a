// A space whose images are smaller: the same weights, at a fraction of the multiply-accumulates.

import { spaceOf } from './families/index.ts'
import { resolveSpaceConfig, type SpaceRef } from './space-ref.ts'
import { type Space, SpaceError } from './space.ts'

/**
 * The space of a reference with height and width of its input divided. Throws SpaceError `config` where they are no multiples of `divisor`,
 * or where weights depend on them.
 *
 * @param field of the settings, for what is thrown
 */
function withSmallerInput(ref: SpaceRef, divisor: number, field: string): Space {
  const config = resolveSpaceConfig(ref)
  const [height, width, channels] = config.input
  if (height % divisor !== 0 || width % divisor !== 0) {
    throw new SpaceError('config', field, `expected a divisor of the ${height}×${width} pixels of the input, got ${divisor}`)
  }
  const smaller = spaceOf({ ...config, input: [height / divisor, width / divisor, channels] })
  const shapes = new Map(smaller.weightSpecs.map(({ key, shape }) => [key, shape.join()]))
  const other = spaceOf(config).weightSpecs.find(({ key, shape }) => shapes.get(key) !== shape.join())
  if (other) throw new SpaceError('config', field, `expected weights that do not depend on the size of the input, as ${other.key} does`)
  return smaller
}

export { withSmallerInput }
