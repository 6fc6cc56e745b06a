// Puts together what the lanes of one machine have learnt side by side. For a weight that k lanes have trained, all from the
// values W, lane j with u_j steps to W_j:
//
//   k = 1   W ← W_1                                            bit for bit
//   k > 1   W ← W + k^(1 − γ) Σ_j (u_j / Σu) (W_j − W)         γ: protocol/round-shares.ts
//           v ← Σ_j (u_j / Σu) v_j                             the optimiser's velocities
//
// With equal u_j that is k^−γ times the sum of the differences. Velocities are averaged, since each of them is a gradient's
// running mean already. Sums are taken in float64 in the order of the lanes and rounded once, so that a result does not depend
// on which thread computes which part of it.

/** What one lane has made of some values. */
type Learnt = {
  readonly values: Float32Array
  /** Steps that it took with them; at least 1. */
  readonly uses: number
}

/** How many of a lane's steps use a weight, by key. */
type Uses = ReadonlyMap<string, number>

type Learner = { readonly lane: number; readonly uses: number }

/** Who has trained each of these keys, lanes ascending, given the uses of every lane. */
function learnersByKey(lanes: readonly Uses[]): Map<string, Learner[]> {
  const learners = new Map<string, Learner[]>()
  for (const [lane, uses] of lanes.entries()) {
    for (const [key, count] of uses) {
      const known = learners.get(key)
      if (known) known.push({ lane, uses: count })
      else learners.set(key, [{ lane, uses: count }])
    }
  }
  return learners
}

function shares(learnt: readonly Learnt[]): number[] {
  const total = learnt.reduce((sum, { uses }) => sum + uses, 0)
  return learnt.map(({ uses }) => uses / total)
}

/** Weights of two or more lanes, in place of those that all of them started from. */
function mergeWeights(start: Float32Array, learnt: readonly Learnt[], exponent: number): void {
  const gain = learnt.length ** (1 - exponent)
  const factors = shares(learnt).map((share) => share * gain)
  for (let i = 0; i < start.length; i++) {
    const from = start[i] as number
    let moved = 0
    for (let j = 0; j < learnt.length; j++) moved += (factors[j] as number) * (((learnt[j] as Learnt).values[i] as number) - from)
    start[i] = from + moved
  }
}

/** Velocities of two or more lanes. */
function mergeVelocities(target: Float32Array, learnt: readonly Learnt[]): void {
  const factors = shares(learnt)
  for (let i = 0; i < target.length; i++) {
    let mean = 0
    for (let j = 0; j < learnt.length; j++) mean += (factors[j] as number) * ((learnt[j] as Learnt).values[i] as number)
    target[i] = mean
  }
}

export { type Learner, learnersByKey, type Learnt, mergeVelocities, mergeWeights, type Uses }
