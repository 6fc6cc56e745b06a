// Combinations of options of several decisions, in one row: those of the last decision count fastest.

/** @param counts how many options each decision has */
function combinationIndex(counts: readonly number[], options: readonly number[]): number {
  return counts.reduce((index, count, position) => index * count + (options[position] as number), 0)
}

/** The options that an index stands for. */
function combinationAt(counts: readonly number[], index: number): number[] {
  const options: number[] = []
  let rest = index
  for (const count of counts.toReversed()) {
    options.unshift(rest % count)
    rest = Math.floor(rest / count)
  }
  return options
}

export { combinationAt, combinationIndex }
