// What a recipe comes to: how many mini-batches, and the learning rate of each.
//
//   rate(t) = base * (t + 1) / w                        t < w: linear warm-up (Goyal et al. 2017)
//   rate(t) = min + (base - min) / 2 * (1 + cos(pi (t - w) / (T - w)))     after it (Loshchilov and Hutter 2017, equation 5)
//
// t counts mini-batches from 0, T is how many there are, w those of the warm-up.

import { DEFAULT_EPOCHS, type Recipe } from '../../protocol/index.ts'
import { cosineRate } from '../executor/index.ts'

/** What a recipe comes to with a given number of training images, in mini-batches. */
type Schedule = {
  readonly stepsPerEpoch: number
  readonly steps: number
  readonly warmupSteps: number
}

/** `stepsPerEpoch` is 0 where the images do not fill one mini-batch. */
function scheduleOf(recipe: Recipe, trainImages: number): Schedule {
  const stepsPerEpoch = Math.floor(trainImages / recipe.batchSize)
  const steps = recipe.steps ?? Math.max(1, Math.round((recipe.epochs ?? DEFAULT_EPOCHS) * stepsPerEpoch))
  const warmupSteps = Math.min(steps, Math.round(recipe.warmupEpochs * stepsPerEpoch))
  return { stepsPerEpoch, steps, warmupSteps }
}

/** Learning rate of mini-batch `step`, counted from 0, which falls from `base` to `minimum`. */
function rateAt(step: number, { steps, warmupSteps }: Schedule, base: number, minimum = 0): number {
  if (step < warmupSteps) return (base * (step + 1)) / warmupSteps
  return minimum + cosineRate(step - warmupSteps, steps - warmupSteps, base - minimum)
}

export { rateAt, type Schedule, scheduleOf }
