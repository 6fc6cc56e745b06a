// Making architectures out of others, within a bound on latency: what evolutionary strategies have in common. Nothing here searches
// without end: after a number of tries a candidate is made that is known to be within the bound, or none is.

import { latencyBounds, pathLatencyMs, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import { invalidField } from '../protocol/index.ts'
import { hashText, type Random, randomPath, type Space } from '../search-space/index.ts'
import type { StrategyContext } from './strategy.ts'

/** Architectures drawn or made before one is made by other means, or given up. */
const MAX_TRIES = 100

/** Keys of rows have 200 characters at most. */
const MAX_KEY_LENGTH = 180

/** What was proposed before. */
type Known = { has(path: readonly number[]): boolean }

type Bounded = { readonly space: Space; readonly latency: SpaceLatency; readonly targetMs: number }

/** The target latency as a hard bound. */
function boundedBy({ space, latency, config }: StrategyContext): Bounded {
  return { space, latency, targetMs: config.latency.targetMs }
}

/** Throws ProblemError `invalid-request` where no architecture is within the bound. */
function checkBound({ latency, targetMs }: Bounded): void {
  const { leastMs } = latencyBounds(latency)
  if (leastMs <= targetMs) return
  throw invalidField('latency.targetMs', `expected at least ${leastMs} ms, what the fastest architecture takes, got ${targetMs}`)
}

const isWithin = ({ latency, targetMs }: Bounded, path: readonly number[]) => pathLatencyMs(latency, path) <= targetMs

/** The path that no other option of a single decision makes faster. */
function fastestPath({ space, latency }: Bounded): number[] {
  let path = space.decisions.map(() => 0)
  for (;;) {
    let next = path
    for (const [decision, { options }] of space.decisions.entries()) {
      const times = options.map((_, option) => pathLatencyMs(latency, next.with(decision, option)))
      next = next.with(decision, times.indexOf(Math.min(...times)))
    }
    if (pathLatencyMs(latency, next) >= pathLatencyMs(latency, path)) return path
    path = next
  }
}

/**
 * An architecture within the bound: drawn uniformly until one is, and after MAX_TRIES the fastest one with as much changed at random
 * as the bound allows. Null where the fastest is beyond the bound.
 */
function randomWithin(bounded: Bounded, random: Random): number[] | null {
  for (let i = 0; i < MAX_TRIES; i++) {
    const path = randomPath(bounded.space, random)
    if (isWithin(bounded, path)) return path
  }
  let path = fastestPath(bounded)
  if (!isWithin(bounded, path)) return null
  for (const decision of random.shuffle(path.map((_, index) => index))) {
    const changed = path.with(decision, random.integer(bounded.space.decisions[decision]?.options.length ?? 1))
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
function mutate(space: Space, path: readonly number[], probability: number, random: Random): number[] {
  return path.map((option, decision) =>
    random.uniform() < probability ? random.integer(space.decisions[decision]?.options.length ?? 1) : option,
  )
}

/** Each decision as one of the parents has it. */
function cross(one: readonly number[], other: readonly number[], random: Random): number[] {
  return one.map((option, decision) => (random.uniform() < 0.5 ? option : (other[decision] as number)))
}

/** The first of what `make` gives that is within the bound and not yet known; null after MAX_TRIES. */
function tryFor(bounded: Bounded, known: Known, make: () => number[]): number[] | null {
  for (let i = 0; i < MAX_TRIES; i++) {
    const path = make()
    if (!known.has(path) && isWithin(bounded, path)) return path
  }
  return null
}

export {
  type Bounded,
  boundedBy,
  checkBound,
  cross,
  fastestPath,
  isWithin,
  type Known,
  mutate,
  neighboursOf,
  pathKey,
  randomWithin,
  tryFor,
}
