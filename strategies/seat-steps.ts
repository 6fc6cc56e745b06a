// What the steps of a seat train (rounds.ts): sampled paths, one or several for each mini-batch, or all operations at once.

import type { WeightMixtures } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { divide, drawPath, type Part } from './parts.ts'
import type { FillSeat } from './rounds.ts'

/** A path through a part, uniform or as the search's distribution says. */
type DrawPath = typeof drawPath

type PathSettings = {
  readonly draw?: DrawPath
  /** Several paths on each mini-batch, whose gradients are added up with their importance. */
  readonly samples?: { readonly count: number; readonly temper: number }
  /** What the steps train; left out: all weights. */
  readonly trained?: 'batch-norms'
}

/** Sampled paths, one for each mini-batch, or several. */
function fillWithPaths({ draw = drawPath, samples, trained }: PathSettings = {}): FillSeat {
  return (seat, place) => ({
    kind: 'trainWeights',
    paths: drawPaths(seat, place, { draw, perStep: samples?.count ?? 1 }),
    ...(samples && { samples: { ...samples } }),
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
  { draw, perStep }: { readonly draw: DrawPath; readonly perStep: number },
): number[][] {
  const shares = Array.from({ length: lanes }, () => 1)
  let parts: Part[] = [part]
  return Array.from({ length: steps * lanes }, (_, i) => {
    if (lanes > 1 && i % (lanes * mergeEvery) === 0) parts = divide(part, shares, random)
    return Array.from({ length: perStep }, () => draw(parts[i % lanes] as Part, uniform, random))
  }).flat()
}

export { type DrawPath, fillWithMixtures, fillWithPaths }
