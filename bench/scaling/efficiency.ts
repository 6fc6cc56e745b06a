// How much n agents are worth: E(n) = (steps that one agent alone needs to reach what n agents reach) / (steps of all n).

type RulerPoint = { readonly steps: number; readonly accuracy: number }

/**
 * Steps that one agent alone needs for an accuracy: straight lines through the ruler over the logarithm of the steps, the
 * first and the last of them prolonged. A ruler that dips (chance) is taken as flat there.
 *
 * @param ruler accuracies of one agent alone, at least two, by rising steps
 */
function stepsFor(accuracy: number, ruler: readonly RulerPoint[]): number {
  let best = 0
  const rising = ruler.map(({ steps, accuracy: value }) => ({ steps, accuracy: (best = Math.max(best, value)) }))
  const above = rising.findIndex((point) => point.accuracy >= accuracy)
  const end = above === -1 ? rising.length - 1 : Math.max(1, above)
  const upper = rising[end]
  const lower = rising.slice(0, end).findLast((point) => upper !== undefined && point.accuracy < upper.accuracy)
  if (!upper || !lower) throw new Error(`expected a ruler of at least two different accuracies, got ${JSON.stringify(ruler)}`)
  const share = (accuracy - lower.accuracy) / (upper.accuracy - lower.accuracy)
  return lower.steps * (upper.steps / lower.steps) ** share
}

export { type RulerPoint, stepsFor }
