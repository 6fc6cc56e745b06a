// The most probable paths when every block chooses for itself: P(path) = Π_b p_b(path_b). Exact: whatever the best n paths
// of the first blocks are, the best n of one block more begin with them.

type ProbablePath = { readonly path: readonly number[]; readonly probability: number }

type Ranked = { readonly path: readonly number[]; readonly logProbability: number }

/** Of two equals the one with the smaller operation index comes first, so that the order is always the same. */
function byProbability(a: Ranked, b: Ranked): number {
  if (a.logProbability !== b.logProbability) return b.logProbability - a.logProbability
  const at = a.path.findIndex((operation, index) => operation !== b.path[index])
  return (a.path[at] ?? 0) - (b.path[at] ?? 0)
}

function probabilityOf(probabilities: readonly (readonly number[])[], path: readonly number[]): number {
  return path.reduce((product, operation, block) => product * (probabilities[block]?.[operation] ?? 0), 1)
}

/**
 * The `count` most probable paths, the most probable first; fewer where there are fewer of a probability above 0.
 *
 * @param probabilities [block][operation]
 */
function mostProbablePaths(probabilities: readonly (readonly number[])[], count: number): ProbablePath[] {
  let best: Ranked[] = [{ path: [], logProbability: 0 }]
  for (const block of probabilities) {
    const extended = best.flatMap(({ path, logProbability }) =>
      block.flatMap((p, operation) => (p > 0 ? [{ path: [...path, operation], logProbability: logProbability + Math.log(p) }] : [])),
    )
    best = extended.sort(byProbability).slice(0, count)
  }
  return best.map(({ path }) => ({ path, probability: probabilityOf(probabilities, path) }))
}

/** Sums of costs that share a cell of this many in the range count as equal. */
const COST_CELLS = 4096

/**
 * The most probable path whose costs sum to `least` to `most`; null where there is none. Dynamic programming over blocks and
 * sums of costs, as for a knapsack: of the beginnings whose sums differ by less than a 4096th of `most`, only the most
 * probable one goes on, so that a path may be missed that is within the range by less than that for each block.
 *
 * @param probabilities [block][operation]
 * @param costs [block][operation], 0 or more
 */
function mostProbableWithin(
  probabilities: readonly (readonly number[])[],
  costs: readonly (readonly number[])[],
  { least, most }: { readonly least: number; readonly most: number },
): ProbablePath | null {
  if (most <= 0) return null
  type Beginning = Ranked & { readonly cost: number }
  const cellOf = (cost: number) => Math.round((cost / most) * COST_CELLS)
  let beginnings: Beginning[] = [{ path: [], logProbability: 0, cost: 0 }]
  for (const [block, operations] of probabilities.entries()) {
    const best = new Map<number, Beginning>()
    for (const { path, logProbability, cost } of beginnings) {
      for (const [operation, p] of operations.entries()) {
        const sum = cost + (costs[block]?.[operation] ?? 0)
        if (p <= 0 || sum > most) continue
        const longer = { path: [...path, operation], logProbability: logProbability + Math.log(p), cost: sum }
        const known = best.get(cellOf(sum))
        if (!known || byProbability(longer, known) < 0) best.set(cellOf(sum), longer)
      }
    }
    beginnings = [...best.values()]
  }
  const [found] = beginnings.filter(({ cost }) => cost >= least).toSorted(byProbability)
  return found ? { path: found.path, probability: probabilityOf(probabilities, found.path) } : null
}

export { mostProbablePaths, mostProbableWithin, type ProbablePath }
