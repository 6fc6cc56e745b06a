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
  return best.map(({ path }) => ({
    path,
    probability: path.reduce((product, operation, block) => product * (probabilities[block]?.[operation] ?? 0), 1),
  }))
}

export { mostProbablePaths, type ProbablePath }
