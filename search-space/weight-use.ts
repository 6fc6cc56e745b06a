// Which weights may be read by paths of which nothing is known but the options that they take.

import type { Space } from './space.ts'
import { weightKeys } from './weight-keys.ts'

/** By decision, the options that some of the paths take. */
type UsedOptions = readonly (readonly number[])[]

/** What another option than the first changes, all other decisions being their first option. */
type Exchange = { readonly gained: readonly string[]; readonly lost: readonly string[] }

/**
 * For options that are used, the keys of all weights that a path of them may read: exactly those of the path where there is but one of
 * each decision. A space that knows which weights options have together is asked; of others, the network of an option is made when it is
 * first asked about, and once.
 */
function createWeightUse(space: Space): (used: UsedOptions) => ReadonlySet<string> {
  const { weightsWithin, optionWeights } = space
  if (weightsWithin) return (used) => new Set(weightsWithin(used).map(({ key }) => key))
  const first = space.decisions.map(() => 0)
  const exchanges = new Map<string, Exchange>()
  let firstKeys: ReadonlySet<string> | null = null

  const keysOfFirst = () => (firstKeys ??= new Set(weightKeys(space.network(first))))
  const exchangeOf = (decision: number, option: number): Exchange => {
    const name = `${decision}/${option}`
    const known = exchanges.get(name)
    if (known) return known
    const before = new Set(optionWeights?.(decision, 0) ?? keysOfFirst())
    const after = new Set(optionWeights?.(decision, option) ?? weightKeys(space.network(first.with(decision, option))))
    const exchange = { gained: [...after].filter((key) => !before.has(key)), lost: [...before].filter((key) => !after.has(key)) }
    exchanges.set(name, exchange)
    return exchange
  }

  return (used) => {
    const keys = new Set(keysOfFirst())
    const taken = used.map((options, decision) => options.filter((option) => option !== 0).map((option) => exchangeOf(decision, option)))
    for (const [decision, options] of used.entries()) {
      if (options.includes(0)) continue
      // A weight of the first option may still be one of another.
      const [one, ...others] = taken[decision] ?? []
      for (const key of one?.lost ?? []) if (others.every(({ lost }) => lost.includes(key))) keys.delete(key)
    }
    for (const { gained } of taken.flat()) for (const key of gained) keys.add(key)
    return keys
  }
}

/** The options that paths take, by decision, ascending. */
function usedOptions(decisions: number, paths: Iterable<readonly number[]>): number[][] {
  const used = Array.from({ length: decisions }, () => new Set<number>())
  for (const path of paths) for (const [decision, option] of path.entries()) used[decision]?.add(option)
  return used.map((options) => [...options].toSorted((a, b) => a - b))
}

export { createWeightUse, type UsedOptions, usedOptions }
