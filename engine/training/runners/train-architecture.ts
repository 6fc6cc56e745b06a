// A trial: one architecture trained by a recipe of its own, with a network, an optimiser and threads of its own. It leaves the
// supernet alone, so that it has no steps in common with other kinds of task.

import type { ResultOf, SearchConfig, Tensor, TrialWork } from '../../../protocol/index.ts'
import type { Space } from '../../../search-space/index.ts'
import type { Backend } from '../../backends/backends.ts'
import type { Dataset } from '../../datasets/index.ts'
import { trainFromScratch, TrainingDivergedError } from '../from-scratch.ts'
import type { Accumulate } from '../micro-batches.ts'
import type { Threads } from '../threads/choose-threads.ts'

type TrialOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly space: Space
  readonly config: SearchConfig
  readonly accumulate: Accumulate
  readonly threads: Threads
  readonly onNote: (line: string) => void
  /** Weights of the supernet, for a trial that starts from them. */
  readonly readWeights: (path: readonly number[]) => Promise<ReadonlyMap<string, Tensor>>
}

/** Throws what `betweenSteps` throws, between two steps. */
async function trainArchitecture(
  work: TrialWork,
  options: TrialOptions,
  betweenSteps: (stepsLeft: number) => Promise<void>,
): Promise<ResultOf<'trainArchitecture'>> {
  const { backend, dataset, space, config, accumulate, threads, onNote, readWeights } = options
  const { path, recipe, seed, start } = work
  const startMs = performance.now()
  const stop = new AbortController()
  const curve: ResultOf<'trainArchitecture'>['curve'] = []
  let steps = 0
  const secondsNow = () => (performance.now() - startMs) / 1000
  try {
    const trained = await trainFromScratch({
      backend,
      dataset,
      space,
      path,
      recipe,
      seed,
      shareSeed: config.seed,
      ...(start === 'supernet' && { initial: { fingerprint: 'supernet', tensors: await readWeights(path) } }),
      accumulate,
      threads,
      signal: stop.signal,
      onNote,
      onStep(done, schedule) {
        steps = done
        // The next step sees the abort: training gives other work its turn in between.
        betweenSteps(schedule.steps - done).catch((error: unknown) => stop.abort(error))
      },
      onReport: ({ step, trainLoss, validation }) => curve.push({ step, loss: trainLoss, accuracy: validation?.top1 ?? null }),
    })
    const { top1, crossEntropy, images } = trained.validation
    const validation = { crossEntropy, correct: Math.round(top1 * images), images }
    return { kind: 'trainArchitecture', end: trained.end, steps, seconds: secondsNow(), validation, curve }
  } catch (error) {
    // The same for every agent: a result, not a failure.
    if (!(error instanceof TrainingDivergedError)) throw error
    return { kind: 'trainArchitecture', end: 'diverged', steps, seconds: secondsNow(), validation: null, curve }
  }
}

export { trainArchitecture, type TrialOptions }
