// What an agent would have answered to a task whose trainings somebody has recorded. As a loss, an accuracy is 1 − accuracy. A record has no
// weights: steps on them do nothing, and gradients cannot be had from it.

import { taskKinds, type TaskKind, type TaskResult, type TaskWork, weightStepsOf } from '../protocol/index.ts'
import type { Path, Random } from '../search-space/index.ts'
import { answerScores } from './recorded-scores.ts'
import type { RecordedBenchmark } from './recorded-benchmark.ts'

/** The record has no training of an architecture that was asked for, or none of what the task wants. */
class UnansweredError extends Error {
  override readonly name = 'UnansweredError'
  readonly code: 'not-recorded' | 'not-recordable'

  constructor(code: UnansweredError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** Kinds of task that a record answers, with the version of their form, as an agent says at its registration. */
const recordedKinds = {
  trainWeights: taskKinds.trainWeights,
  trainMixtures: taskKinds.trainMixtures,
  evaluatePaths: taskKinds.evaluatePaths,
  score: taskKinds.score,
  trainArchitecture: taskKinds.trainArchitecture,
} as const satisfies Partial<Record<TaskKind, number>>

type RecordedAnswer = {
  readonly result: TaskResult
  /** What the training took when it was recorded; null for what is no training, or where nobody wrote it down. */
  readonly seconds: number | null
}

/**
 * Throws UnansweredError.
 *
 * @param random chooses among several trainings of one architecture
 * @param batchSize images of a weight step
 */
function answerFromRecord(benchmark: RecordedBenchmark, work: TaskWork, batchSize: number, random: Random): RecordedAnswer {
  const { images } = benchmark
  const measured = (path: Path) => {
    const recorded = benchmark.read(path)
    if (recorded === 'not-recorded') throw new UnansweredError('not-recorded', `${benchmark.name} has no training of ${path.join(' ')}`)
    const accuracy = recorded.accuracies[random.integer(recorded.accuracies.length)] as number
    const correct = Math.round(accuracy * images)
    return { counts: { crossEntropy: 1 - correct / images, correct, images }, seconds: recorded.seconds }
  }
  switch (work.kind) {
    case 'trainWeights':
    case 'trainMixtures': {
      const images = weightStepsOf(work) * batchSize
      const samples = work.kind === 'trainWeights' && work.samples ? { effectiveSamples: 1 } : {}
      return { result: { kind: work.kind, loss: 1, correct: 0, images, ...samples }, seconds: null }
    }
    case 'evaluatePaths':
      return { result: { kind: 'evaluatePaths', paths: work.paths.map((path) => measured(path).counts) }, seconds: null }
    case 'trainArchitecture': {
      const { counts: validation, seconds } = measured(work.path)
      const steps = work.recipe.steps ?? 0
      return { result: { kind: 'trainArchitecture', end: 'finished', steps, seconds: seconds ?? 0, validation, curve: [] }, seconds }
    }
    case 'score': {
      const result = answerScores(benchmark, work)
      if (result) return { result, seconds: null }
      const wanted = work.scores.join(' and ')
      throw new UnansweredError('not-recorded', `${benchmark.name} has no ${wanted} of an architecture that was asked for`)
    }
    case 'gateGradients':
    case 'mixtureGradients':
      throw new UnansweredError('not-recordable', 'gradients of gates and mixtures are of weights, and a recorded benchmark has none')
    default:
      return work satisfies never
  }
}

export { answerFromRecord, recordedKinds, type RecordedAnswer, UnansweredError }
