// Making architectures out of others, within bounds on their costs: what evolutionary strategies have in common. Nothing here searches
// without end: after a number of tries a candidate is made that is known to be within the bounds, or none is.

import { hashText, type Random, type Space } from '../search-space/index.ts'
import { allBounds, type Bound, checkBounds, keeps } from './bounds.ts'
import type { StrategyContext } from './strategy.ts'

/** Architectures drawn or made before one is made by other means, or given up. */
const MAX_TRIES = 100

/** Keys of rows have 200 characters at most. */
const MAX_KEY_LENGTH = 180

/** What was proposed before. */
type Known = { has(path: readonly number[]): boolean }

type Bounded = {
  readonly space: Space
  readonly bounds: readonly Bound[]
  /** Those that a decision may take, ascending, [decision][…]; left out: all. */
  readonly options?: readonly (readonly number[])[] | undefined
}

/** All bounds of a search as hard ones. */
function boundedBy(context: StrategyContext): Bounded {
  return { space: context.space, bounds: allBounds(context) }
}

/** The options that each decision may take, [decision][…]. */
function optionsOf({ space, options }: Bounded): readonly (readonly number[])[] {
  return options ?? space.decisions.map((decision) => decision.options.map((_, option) => option))
}

/** Throws ProblemError `invalid-request` where no architecture is within one of the bounds. */
function checkBound({ bounds }: Bounded): void {
  checkBounds(bounds)
}

function isWithin({ bounds, options }: Bounded, path: readonly number[]): boolean {
  return (options?.every((own, decision) => own.includes(path[decision] as number)) ?? true) && keeps(bounds, path)
}

/** What an architecture lacks to be within the bounds, and, of two that are, what it leaves of them: less is better, in this order. */
function strain(bounds: readonly Bound[], path: readonly number[]): readonly [excess: number, ratio: number] {
  let [excess, sum] = [0, 0]
  for (const { of, atMost } of bounds) {
    const ratio = of.of(path) / atMost
    excess += Math.max(0, ratio - 1)
    sum += ratio
  }
  return [excess, sum]
}

const isLess = ([a, b]: readonly [number, number], [c, d]: readonly [number, number]) => a < c || (a === c && b < d)

/** The path that no other option of a single decision brings further within the bounds. */
function cheapestPath(bounded: Bounded): number[] {
  const { bounds } = bounded
  const options = optionsOf(bounded)
  let best = options.map(([first]) => first as number)
  let least = strain(bounds, best)
  for (;;) {
    const before = least
    for (const [decision, own] of options.entries()) {
      for (const option of own) {
        const path = best.with(decision, option)
        const strained = strain(bounds, path)
        if (isLess(strained, least)) [best, least] = [path, strained]
      }
    }
    if (!isLess(least, before)) return best
  }
}

/**
 * An architecture within the bounds: drawn uniformly until one is, and after MAX_TRIES the cheapest one with as much changed at random
 * as the bounds allow. Null where the cheapest is beyond one of them.
 */
function randomWithin(bounded: Bounded, random: Random): number[] | null {
  const options = optionsOf(bounded)
  const draw = (own: readonly number[]) => own[random.integer(own.length)] as number
  for (let i = 0; i < MAX_TRIES; i++) {
    const path = options.map(draw)
    if (isWithin(bounded, path)) return path
  }
  let path = cheapestPath(bounded)
  if (!isWithin(bounded, path)) return null
  for (const decision of random.shuffle(path.map((_, index) => index))) {
    const changed = path.with(decision, draw(options[decision] as readonly number[]))
    if (isWithin(bounded, changed)) path = changed
  }
  return path
}

/** An architecture as part of a row's key. */
function pathKey(path: readonly number[]): string {
  const text = path.join('.')
  return text.length <= MAX_KEY_LENGTH ? text : `${text.slice(0, MAX_KEY_LENGTH - 20)} ${hashText(text).toString(16)} ${text.length}`
}

/** All architectures that differ in one decision, in random order. */
function neighboursOf({ decisions }: Space, path: readonly number[], random: Random): number[][] {
  const all = decisions.flatMap(({ options }, decision) =>
    options.flatMap((_, option) => (option === path[decision] ? [] : [path.with(decision, option)])),
  )
  return random.shuffle(all.map((_, index) => index)).map((index) => all[index] as number[])
}

/** Each decision drawn anew with this probability. */
function mutate(bounded: Bounded, path: readonly number[], probability: number, random: Random): number[] {
  const options = optionsOf(bounded)
  return path.map((option, decision) => {
    if (random.uniform() >= probability) return option
    const own = options[decision] as readonly number[]
    return own[random.integer(own.length)] as number
  })
}

/** Each decision as one of the parents has it. */
function cross(one: readonly number[], other: readonly number[], random: Random): number[] {
  return one.map((option, decision) => (random.uniform() < 0.5 ? option : (other[decision] as number)))
}

/**
 * A changed architecture if it is within the bounds; else with one decision more changed so that it is, null where none does that. What is
 * better within a bound is often an exchange, neither half of which could be made alone.
 */
function broughtWithin(bounded: Bounded, path: readonly number[], random: Random): number[] | null {
  if (isWithin(bounded, path)) return [...path]
  return neighboursOf(bounded.space, path, random).find((other) => isWithin(bounded, other)) ?? null
}

/** The first of what `make` gives that is within the bounds and not yet known; null after MAX_TRIES. */
function tryFor(bounded: Bounded, known: Known, make: () => number[] | null): number[] | null {
  for (let i = 0; i < MAX_TRIES; i++) {
    const path = make()
    if (path && !known.has(path) && isWithin(bounded, path)) return path
  }
  return null
}

/** Collects architectures within the bounds, each once and none that is known. */
function collectOthers(bounded: Bounded, known: readonly (readonly number[])[]) {
  const names = new Set(known.map((path) => path.join()))
  const made: number[][] = []
  return {
    made,
    /** Adds the first new one of what `make` gives; false where many are none. */
    add(make: () => number[] | null): boolean {
      const found = tryFor(bounded, { has: (path) => names.has(path.join()) }, make)
      if (!found) return false
      names.add(found.join())
      made.push(found)
      return true
    },
  }
}

export {
  type Bounded,
  boundedBy,
  broughtWithin,
  checkBound,
  cheapestPath,
  collectOthers,
  cross,
  isWithin,
  type Known,
  mutate,
  neighboursOf,
  optionsOf,
  pathKey,
  randomWithin,
  tryFor,
}
