// Weight steps: each mini-batch trains one path. A wave holds one turn of `mergeEvery` steps for each lane; then what they have learnt
// is merged.

import type { WeightWork } from '../../../protocol/index.ts'
import { cosineRate, trainStep } from '../../executor/index.ts'
import { sumUp, type TaskRunner } from './runner.ts'
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
  const localSteps = Math.ceil(work.paths.length / count)
  return Array.from({ length: Math.ceil(localSteps / mergeEvery) }, (_, wave) => {
    const from = wave * mergeEvery
    const steps = range(from, Math.min(localSteps, from + mergeEvery))
    const turnOf = (lane: number) => steps.map((local) => local * count + lane).filter((step) => step < work.paths.length)
    return {
      turns: range(0, count)
        .map(turnOf)
        .filter((turn) => turn.length > 0),
      stepsLeft: localSteps - from,
    }
  })
}

const trainWeights: TaskRunner<'trainWeights'> = {
  networks: ({ paths }) => paths,
  batchesPerNetwork: () => 1,
  request: ({ firstStep }, step, batches) => batches.weights(firstStep + step),
  plan,
  async run(work, step, { step: input, weights, optimiser, training, measured }) {
    const { labelSmoothing, steps, learningRate } = training
    const done = await measured((parts) => trainStep({ ...input, labelSmoothing, accumulate: parts }))
    optimiser.apply(weights, done.gradients, cosineRate(positionOf(work, step), steps, learningRate))
    return { loss: done.loss, correct: done.correct }
  },
  result: (_, outcomes, { batchSize }) => ({ kind: 'trainWeights', ...sumUp(outcomes, batchSize) }),
}

export { trainWeights }
