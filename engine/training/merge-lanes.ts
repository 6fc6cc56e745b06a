// Puts together what the lanes of one machine have learnt side by side. For a weight that k lanes have trained, all from the
// values W, lane j with u_j steps to W_j:
//
//   k = 1   W ← W_1                                            bit for bit
//   k > 1   W ← W + k^(1 − γ) Σ_j (u_j / Σu) (W_j − W)         γ: protocol/round-shares.ts
//           v ← Σ_j (u_j / Σu) v_j                             the optimiser's velocities
//
// Lanes that read parts of a weight learn about these alone, so that all of this is asked of each box of a weight within which the
// lanes are the same (`cellsOf`); u_j are then the steps that use it.
//
// With equal u_j that is k^−γ times the sum of the differences. Velocities are averaged, since each of them is a gradient's
// running mean already. Sums are taken in float64 in the order of the lanes and rounded once, so that a result does not depend
// on which thread computes which part of it.

import { type Box, cellsOf, visitRows } from '../../search-space/index.ts'

/** What one lane has made of some values. */
type Learnt = {
  readonly values: Float32Array
  /** Steps that it took with them; at least 1. */
  readonly uses: number
}

/** How many of a lane's steps read each part of a weight. */
type PartUse = { readonly part: readonly number[]; readonly uses: number }
/** By key. */
type Uses = ReadonlyMap<string, readonly PartUse[]>

type Learner = { readonly lane: number; readonly uses: number }
/** A box of a weight that the same lanes have trained, lanes ascending. */
type TrainedBox = Box & { readonly learners: readonly Learner[] }

/** A weight that several lanes have trained, whether the same of it or not. */
type Contested = {
  readonly key: string
  readonly shape: readonly number[]
  readonly boxes: readonly TrainedBox[]
  /** γ above. */
  readonly exponent: number
}

type MergeRule = { readonly shapeOf: (key: string) => readonly number[]; readonly exponentOf: (key: string) => number }

/** What several lanes train, given the uses of every lane. */
function contestedBy(lanes: readonly Uses[], { shapeOf, exponentOf }: MergeRule): Contested[] {
  const keys = new Set(lanes.flatMap((uses) => [...uses.keys()]))
  return [...keys].flatMap((key) => {
    const used = lanes.flatMap((uses, lane) => (uses.get(key) ?? []).map((use) => ({ lane, ...use })))
    if (new Set(used.map(({ lane }) => lane)).size < 2) return []
    const shape = shapeOf(key)
    const cells = cellsOf(
      shape,
      used.map(({ part }) => part),
    )
    const boxes = cells.map(({ begin, size, within }): TrainedBox => {
      const uses = new Map<number, number>()
      for (const index of within) {
        const { lane, uses: own } = used[index] as (typeof used)[number]
        uses.set(lane, (uses.get(lane) ?? 0) + own)
      }
      return { begin, size, learners: [...uses].map(([lane, own]) => ({ lane, uses: own })) }
    })
    return [{ key, shape, boxes, exponent: exponentOf(key) }]
  })
}

/** Whether a lane has trained any of a weight. */
function hasTrained({ boxes }: Contested, lane: number): boolean {
  return boxes.some(({ learners }) => learners.some((learner) => learner.lane === lane))
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

/** A weight, or what a lane has made of it, with its velocity. */
type Trained = { readonly weight: Float32Array; readonly velocity: Float32Array }

/**
 * Puts together the values `from` to `to` of a contested weight and of its velocity, `master` being what all lanes started from. What no
 * lane has trained stays as it is.
 */
function mergeContested(
  { shape, boxes, exponent }: Contested,
  master: Trained,
  laneOf: (lane: number) => Trained,
  from: number,
  to: number,
): void {
  for (const { learners, ...box } of boxes) {
    const learnt = learners.map(({ lane, uses }) => ({ ...laneOf(lane), uses }))
    visitRows(shape, box, (first, length) => {
      const begin = Math.max(from, first)
      const end = Math.min(to, first + length)
      if (begin >= end) return
      const [only, ...others] = learnt
      if (only && others.length === 0) {
        master.weight.set(only.weight.subarray(begin, end), begin)
        master.velocity.set(only.velocity.subarray(begin, end), begin)
        return
      }
      const of = (name: keyof Trained) => learnt.map((one) => ({ values: one[name].subarray(begin, end), uses: one.uses }))
      mergeWeights(master.weight.subarray(begin, end), of('weight'), exponent)
      mergeVelocities(master.velocity.subarray(begin, end), of('velocity'))
    })
  }
}

export {
  contestedBy,
  type Contested,
  hasTrained,
  type Learnt,
  mergeContested,
  mergeVelocities,
  mergeWeights,
  type PartUse,
  type Trained,
  type Uses,
}
