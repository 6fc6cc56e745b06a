// Evaluations of sampled architectures on numbered mini-batches of the architecture share, the same for all: how many there are, and what a
// curve shows of their results.

import type { ResultOf } from '../protocol/index.ts'
import type { StrategyContext } from './strategy.ts'

type Answers = ResultOf<'evaluatePaths'>['paths']

/** Mini-batches that come closest to so many images, 1 at least. */
function batchesOf({ config }: StrategyContext, images: number): number {
  return Math.max(1, Math.round(images / config.training.batchSize))
}

/** Of all paths of a task together. */
function metricOf(answers: Answers): { loss: number; correct: number; images: number } {
  return {
    loss: answers.reduce((sum, { crossEntropy }) => sum + crossEntropy / answers.length, 0),
    correct: answers.reduce((sum, { correct }) => sum + correct, 0),
    images: answers.reduce((sum, { images }) => sum + images, 0),
  }
}

export { batchesOf, metricOf }
