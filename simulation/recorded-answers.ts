// What an agent would have answered to a task whose trainings somebody has recorded. As a loss, an accuracy is 1 − accuracy. A record has no
// weights: steps on them do nothing, and gradients cannot be had from it.

import { taskKinds, type TaskKind, type TaskResult, type TaskWork, weightStepsOf } from '../protocol/index.ts'
import type { Path, Random } from '../search-space/index.ts'
import { answerScores } from './recorded-scores.ts'
import { type RecordedBenchmark, recordedTraining } from './recorded-benchmark.ts'

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
  /** That the architecture of a trial has been trained for; null: as far as the record goes. */
  readonly epochs: number | null
}

/**
 * Throws UnansweredError.
 *
 * @param random chooses among several trainings of one architecture
 * @param batchSize images of a weight step
 * @param before seconds that have gone into the trial, by whomever: who goes on from its checkpoint takes those that are left
 */
function answerFromRecord(benchmark: RecordedBenchmark, work: TaskWork, batchSize: number, random: Random, before = 0): RecordedAnswer {
  const { images } = benchmark
  const measured = (path: Path, asked?: number) => {
    const recorded = recordedTraining(benchmark, path, asked)
    if (recorded === 'not-recorded') {
      const after = asked === undefined ? '' : ` after ${asked} epochs`
      throw new UnansweredError('not-recorded', `${benchmark.name} has no training of ${path.join(' ')}${after}`)
    }
    const { accuracies, seconds, epochs } = recorded
    const correct = Math.round((accuracies[random.integer(accuracies.length)] as number) * images)
    return { counts: { crossEntropy: 1 - correct / images, correct, images }, seconds, epochs }
  }
  switch (work.kind) {
    case 'trainWeights':
    case 'trainMixtures': {
      const images = weightStepsOf(work) * batchSize
      const samples = work.kind === 'trainWeights' && work.samples ? { effectiveSamples: 1 } : {}
      return { result: { kind: work.kind, loss: 1, correct: 0, images, ...samples }, seconds: null, epochs: null }
    }
    case 'evaluatePaths':
      return { result: { kind: 'evaluatePaths', paths: work.paths.map((path) => measured(path).counts) }, seconds: null, epochs: null }
    case 'trainArchitecture': {
      if (typeof work.start !== 'string') {
        throw new UnansweredError('not-recordable', 'recorded trainings began with random weights, not with those of another network')
      }
      const { counts: validation, seconds: all, epochs } = measured(work.path, work.epochs ?? work.recipe.epochs)
      if (work.epochs !== undefined && epochs !== work.epochs) {
        const message = `${benchmark.name} does not say what trainings come to after ${work.epochs} epochs`
        throw new UnansweredError('not-recorded', message)
      }
      const seconds = all === null ? null : Math.max(0, all - before)
      const steps = work.recipe.steps ?? 0
      return {
        result: { kind: 'trainArchitecture', end: 'finished', steps, seconds: seconds ?? 0, validation, curve: [] },
        seconds,
        epochs,
      }
    }
    case 'score': {
      const result = answerScores(benchmark, work)
      if (result) return { result, seconds: null, epochs: null }
      const wanted = work.scores.join(' and ')
      throw new UnansweredError('not-recorded', `${benchmark.name} has no ${wanted} of an architecture that was asked for`)
    }
    case 'gateGradients':
    case 'mixtureGradients':
    case 'batchNormScales':
      throw new UnansweredError(
        'not-recordable',
        'gradients of gates and mixtures and scales of batch-norms are of weights, and a recorded benchmark has none',
      )
    default:
      return work satisfies never
  }
}

export { answerFromRecord, recordedKinds, type RecordedAnswer, UnansweredError }
