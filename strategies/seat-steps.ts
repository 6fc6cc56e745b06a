// What the steps of a seat train (rounds.ts): sampled paths, one or several for each mini-batch, or all operations at once.

import type { WeightMixtures } from '../protocol/index.ts'
import type { Random } from '../search-space/index.ts'
import { divide, drawPath, type Part } from './parts.ts'
import type { FillSeat } from './rounds.ts'

/** Lanes never train the same operation within a sub-round, unless they have to. */
const fillWithPaths: FillSeat = (seat, place) => ({ kind: 'trainWeights', paths: drawPaths(seat, place, 1) })

/** Several paths for each mini-batch, whose gradients are added up with their importance. */
function fillWithSamples(samples: { readonly count: number; readonly temper: number }): FillSeat {
  return (seat, place) => ({ kind: 'trainWeights', paths: drawPaths(seat, place, samples.count), samples: { ...samples } })
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

function drawPaths(
  { lanes, steps, part }: Parameters<FillSeat>[0],
  { round: { uniform }, mergeEvery, random }: Parameters<FillSeat>[1],
  pathsPerStep: number,
): number[][] {
  const shares = Array.from({ length: lanes }, () => 1)
  let parts: Part[] = [part]
  return Array.from({ length: steps * lanes }, (_, i) => {
    if (lanes > 1 && i % (lanes * mergeEvery) === 0) parts = divide(part, shares, random)
    return Array.from({ length: pathsPerStep }, () => drawPath(parts[i % lanes] as Part, uniform, random))
  }).flat()
}

export { fillWithMixtures, fillWithPaths, fillWithSamples }
