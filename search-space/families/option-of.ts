// What families whose options have no Zero among them say of each.

import type { Option } from '../space.ts'

/** @param skips names of options that put no operation in their place */
function optionOf(name: string, skips: readonly string[] = []): Option {
  return { name, isZero: false, ...(skips.includes(name) && { isSkip: true }) }
}

export { optionOf }
