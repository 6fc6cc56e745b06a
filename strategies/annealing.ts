// Search for architectures of which a prediction says much, by simulated annealing as the code of FOX-NAS has it (Liu et al. 2021,
// search_strategy/Simulated_annealing.py). A chain begins at a random architecture within the bounds. Each move draws some decisions
// anew, until what comes out is within the bounds, and is taken where it is predicted to be better. There is no temperature: after so many
// refusals in a row one that is worse by less than `slack` is taken, and after so many moves none any more. A chain ends after a long row
// of refusals.

import type { Random } from '../search-space/index.ts'
import { type Bounded, optionsOf, randomWithin, tryFor } from './evolution.ts'

/** Of `moves`: refusals in a row before something worse is taken, and before the chain ends. The authors: 500 and 5,000 of 10,000. */
const PATIENCE = 0.05
const END = 0.5
/** Share of the decisions that a move draws anew, and what it falls to in the first part of the moves. The authors: 8 of 25, and 5. */
const FIRST_CHANGED = 0.32
const LAST_CHANGED = 0.2
const FALLING = 0.3
/** Moves of a chain, in `moves`, after which it ends in any case. */
const MOST = 3

type AnnealingSettings = {
  /** Chains, one after the other. */
  readonly restarts: number
  /** Moves of a chain during which something worse may be taken. */
  readonly moves: number
  /** In the unit of the prediction. */
  readonly slack: number
}

type Predicted = { readonly path: number[]; readonly value: number }

const NOTHING_KNOWN = { has: () => false }

/** Decisions that a move draws anew. */
function changedAt(move: number, moves: number, decisions: number): number {
  const gone = Math.min(1, move / (FALLING * moves))
  return Math.max(1, Math.round(decisions * (FIRST_CHANGED + (LAST_CHANGED - FIRST_CHANGED) * gone)))
}

/** All architectures within the bounds that the chains came by, each once, those predicted to be best first; none where there are none. */
function anneal(
  bounded: Bounded,
  valueOf: (path: readonly number[]) => number,
  { restarts, moves, slack }: AnnealingSettings,
  random: Random,
): Predicted[] {
  const options = optionsOf(bounded)
  const found = new Map<string, Predicted>()
  const look = (path: number[]): Predicted => {
    const name = path.join()
    const known = found.get(name)
    if (known) return known
    const predicted = { path, value: valueOf(path) }
    found.set(name, predicted)
    return predicted
  }
  const change = (path: readonly number[], count: number) => {
    const changed = [...path]
    for (const decision of random.shuffle(path.map((_, index) => index)).slice(0, count)) {
      const own = options[decision] as readonly number[]
      changed[decision] = own[random.integer(own.length)] as number
    }
    return changed
  }
  for (let chain = 0; chain < restarts; chain++) {
    const start = randomWithin(bounded, random)
    if (!start) return []
    let current = look(start)
    let refusals = 0
    for (let move = 0; move < MOST * moves && refusals < END * moves; move++) {
      const count = changedAt(move, moves, start.length)
      const path = tryFor(bounded, NOTHING_KNOWN, () => change(current.path, count))
      const next = path && look(path)
      const isTaken =
        next !== null && (next.value > current.value || (move < moves && refusals > PATIENCE * moves && next.value > current.value - slack))
      if (isTaken) current = next
      refusals = isTaken ? 0 : refusals + 1
    }
  }
  return [...found.values()].toSorted((a, b) => b.value - a.value)
}

/** Paths of those that `anneal` comes by, but for `known` ones. */
function predictBest(
  bounded: Bounded,
  valueOf: (path: readonly number[]) => number,
  settings: AnnealingSettings,
  random: Random,
  known: readonly (readonly number[])[],
): number[][] {
  const names = new Set(known.map((path) => path.join()))
  return anneal(bounded, valueOf, settings, random)
    .map(({ path }) => path)
    .filter((path) => !names.has(path.join()))
}

export { anneal, type AnnealingSettings, changedAt, type Predicted, predictBest }
