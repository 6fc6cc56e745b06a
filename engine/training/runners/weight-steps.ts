// What the kinds of task that train weights have in common: which mini-batch a step sees, at which learning rate, and how lanes share the
// steps. A wave holds one turn of `mergeEvery` steps for each lane; then what they have learnt is merged.

import { type WeightWork, weightStepsOf } from '../../../protocol/index.ts'
import { cosineRate } from '../../executor/index.ts'
import type { NumberedBatches, StepInput } from './runner.ts'
import { range, type Wave } from './waves.ts'

/** Where a step is: in which lane, and the how manieth it is there. */
function placeInLane({ lanes }: WeightWork, step: number): { lane: number; localStep: number } {
  const count = lanes?.count ?? 1
  return { lane: step % count, localStep: Math.floor(step / count) }
}

/** Effective steps of the search at a step: where the learning rate is. */
function positionOf(work: WeightWork, step: number): number {
  if (!work.schedule) return work.firstStep + step
  return work.schedule.from + placeInLane(work, step).localStep * work.schedule.perStep
}

function plan(work: WeightWork): Wave[] {
  const { count, mergeEvery } = work.lanes ?? { count: 1, mergeEvery: 1 }
  const all = weightStepsOf(work)
  const localSteps = Math.ceil(all / count)
  return Array.from({ length: Math.ceil(localSteps / mergeEvery) }, (_, wave) => {
    const from = wave * mergeEvery
    const steps = range(from, Math.min(localSteps, from + mergeEvery))
    const turnOf = (lane: number) => steps.map((local) => local * count + lane).filter((step) => step < all)
    return {
      turns: range(0, count)
        .map(turnOf)
        .filter((turn) => turn.length > 0),
      stepsLeft: localSteps - from,
    }
  })
}

/** Those parts of a runner. */
const weightSteps = {
  networkCount: weightStepsOf,
  batchesPerNetwork: () => 1,
  requests: ({ firstStep }: WeightWork, step: number, batches: NumberedBatches) => [batches.weights(firstStep + step)],
  plan,
  position: positionOf,
}

/** Takes the optimiser's step with the gradients of a weight step, which it disposes. */
function learn(work: WeightWork, step: number, gradients: Parameters<StepInput['optimiser']['apply']>[1], input: StepInput): void {
  const { weights, optimiser, training } = input
  optimiser.apply(weights, gradients, cosineRate(positionOf(work, step), training.steps, training.learningRate))
}

export { learn, weightSteps }
