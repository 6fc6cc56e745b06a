// How much of what several learners have learnt about one weight is kept when it is put together: agents of a round at the
// shards, lanes of one machine in its memory.
//
// k learners start from the same values and end with differences Δ_1 … Δ_k. Their mean (k⁻¹ Σ Δ) takes one learner's step
// with less noise, their sum goes k times as far and may overshoot. k^−γ Σ Δ lies between: γ = 1 is the mean, γ = 0 the
// sum. docs/scaling.md has what was measured; the rule for batch sizes (Krizhevsky 2014, section 5: rates grow with the
// root of the batch) is γ = ½.

/** Weights of stem, head and other parts that every path has: all learners train them at every step. */
const COMMON_EXPONENT = 0.5
/** Operations that more than one learner has got: for a few steps at a time, so that summing them goes well as a rule. */
const OPERATION_EXPONENT = 0.25

/** The factor on each of the differences of `learners` learners. */
function roundShare(learners: number, exponent: number): number {
  return learners ** -exponent
}

/**
 * The factor on a difference that comes after `pushes` pushes by others of the same weight, counted from the version that it
 * was made from. In a round of m agents, m − 1 others push, and as many again that are a round ahead or behind: so much is
 * on time. An agent that is alone expects nobody.
 */
function latenessScale(pushes: number, members: number): number {
  return 1 / (1 + (members > 1 ? Math.floor(pushes / (2 * members)) : pushes))
}

export { COMMON_EXPONENT, latenessScale, OPERATION_EXPONENT, roundShare }
