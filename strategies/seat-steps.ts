// What the steps of a seat train (rounds.ts): sampled paths, one or several for each mini-batch, or all operations at once.

import type { WeightMixtures } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { divide, drawPath, type Part, withoutPath } from './parts.ts'
import type { FillSeat } from './rounds.ts'

/** A path through a part, uniform or as the search's distribution says. */
type DrawPath = typeof drawPath

/** The paths of one mini-batch. */
type DrawStep = (part: Part, uniform: boolean, random: Random) => number[][]

type PathSettings = {
  readonly draw?: DrawPath
  /** Several paths on each mini-batch, whose gradients are added up with their importance. */
  readonly samples?: { readonly count: number; readonly temper: number }
  /** Two paths on each mini-batch, without a common operation where there are others, that learn from each other; not beside `samples`. */
  readonly consistency?: { readonly weight: number; readonly temperature: number }
  /** What the steps train; left out: all weights. */
  readonly trained?: 'batch-norms'
}

/** Sampled paths, one for each mini-batch, or several. */
function fillWithPaths({ draw = drawPath, samples, consistency, trained }: PathSettings = {}): FillSeat {
  const drawStep: DrawStep = (part, uniform, random) => {
    if (!consistency) return Array.from({ length: samples?.count ?? 1 }, () => draw(part, uniform, random))
    const path = draw(part, uniform, random)
    return [path, draw(withoutPath(part, path), uniform, random)]
  }
  return (seat, place) => ({
    kind: 'trainWeights',
    paths: drawPaths(seat, place, drawStep),
    ...(samples && { samples: { ...samples } }),
    ...(consistency && { consistency: { ...consistency } }),
    ...(trained && { trained }),
  })
}

/** All operations at every step, with the factors of a mixture or dropped as `drop` says, [step][block]. */
function fillWithMixtures({
  mixture,
  drop,
}: {
  readonly mixture?: readonly (readonly number[])[]
  readonly drop?: (steps: number, random: Random) => NonNullable<WeightMixtures['dropped']>
}): FillSeat {
  return ({ lanes, steps: localSteps }, { random }) => {
    const steps = lanes * localSteps
    return {
      kind: 'trainMixtures',
      steps,
      ...(mixture && { mixture: mixture.map((row) => [...row]) }),
      ...(drop && { dropped: drop(steps, random) }),
    }
  }
}

/** Lanes never train the same operation within a sub-round, unless they have to. */
function drawPaths(
  { lanes, steps, part }: Parameters<FillSeat>[0],
  { round: { uniform }, mergeEvery, random }: Parameters<FillSeat>[1],
  drawStep: DrawStep,
): number[][] {
  const shares = Array.from({ length: lanes }, () => 1)
  let parts: Part[] = [part]
  return Array.from({ length: steps * lanes }, (_, i) => {
    if (lanes > 1 && i % (lanes * mergeEvery) === 0) parts = divide(part, shares, random)
    return drawStep(parts[i % lanes] as Part, uniform, random)
  }).flat()
}

export { type DrawPath, fillWithMixtures, fillWithPaths }
