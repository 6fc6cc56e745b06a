// Scores with shared weights, smoothed: how well a path does with them depends on which paths these happened to be trained with, and what an
// option adds on average over all paths that have it is known much better.

import { invalidField, MAX_SMOOTHED_OPTIONS } from '../protocol/index.ts'
import { optionCounts, type Space } from '../search-space/index.ts'
import { fitRegression, type Regression, type RegressionExample } from './regression.ts'

const RIDGE = 1

/** Mean effects of single options, and of the depth. */
function fitOptions(examples: readonly RegressionExample[], { decisions }: Pick<Space, 'decisions'>): Regression {
  return fitRegression(examples, { decisions, places: [], ridge: RIDGE })
}

/**
 * (1 − smoothing) y + smoothing f(a), f fitted to all examples with single options and the depth as features and a ridge of 1: what is left
 * of a score once so much of what it has beyond the mean effects of these is taken away. In the order of the examples.
 *
 * @param smoothing 0 to 1
 */
function smoothScores(examples: readonly RegressionExample[], space: Pick<Space, 'decisions'>, smoothing: number): number[] {
  if (smoothing === 0) return examples.map(({ score }) => score)
  const fitted = fitOptions(examples, space)
  return examples.map(({ path, score }) => (1 - smoothing) * score + smoothing * fitted(path))
}

/** Throws ProblemError `invalid-request`, which names `field`, where a space has more options than a regression may have. */
function checkSmoothing(space: Pick<Space, 'decisions'>, smoothing: number, field: string): void {
  const options = optionCounts(space).reduce((sum, count) => sum + count, 0)
  if (smoothing === 0 || options <= MAX_SMOOTHED_OPTIONS) return
  throw invalidField(field, `expected none in a space of more than ${MAX_SMOOTHED_OPTIONS} options, got one of ${options}`)
}

export { checkSmoothing, fitOptions, smoothScores }
