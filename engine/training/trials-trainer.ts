// A trainer of steps that does trials as well: steps share one supernet, a trial has a network of its own.

import type { ResultOf, StepWork, TaskWork, Tensor } from '../../protocol/index.ts'
import { weightKeys } from '../../search-space/index.ts'
import { trainArchitecture, type TrialCheckpoints, type TrialOptions } from './runners/train-architecture.ts'
import type { Trainer } from './trainer.ts'

type AnyTrainer = Omit<Trainer, 'keysOf' | 'prefetch' | 'run'> & {
  keysOf(work: TaskWork): string[]
  prefetch(work: TaskWork): void
  run(
    work: TaskWork,
    betweenSteps: (stepsLeft: number) => Promise<void>,
    checkpoints?: TrialCheckpoints,
  ): Promise<{ result: ResultOf<TaskWork['kind']>; peakBytes: number }>
}

const isTrial = (work: TaskWork): work is Exclude<TaskWork, StepWork> => work.kind === 'trainArchitecture'

function withTrials(trainer: Trainer, options: Omit<TrialOptions, 'readWeights'>): AnyTrainer {
  const { space } = options
  const keysOfPath = (path: readonly number[]) => weightKeys(space.network(path))
  const readWeights = async (path: readonly number[]) => {
    const tensors = new Map<string, Tensor>()
    for (const key of keysOfPath(path))
      tensors.set(key, { shape: trainer.weights.spec(key).shape, values: await trainer.weights.read(key) })
    return tensors
  }
  return {
    ...trainer,
    keysOf(work) {
      if (!isTrial(work)) return trainer.keysOf(work)
      return work.start === 'supernet' ? keysOfPath(work.path) : []
    },
    prefetch(work) {
      // A trial opens its data itself.
      if (!isTrial(work)) trainer.prefetch(work)
    },
    run: async (work, betweenSteps, checkpoints) =>
      isTrial(work)
        ? { result: await trainArchitecture(work, { ...options, readWeights }, betweenSteps, checkpoints), peakBytes: 0 }
        : trainer.run(work, betweenSteps),
  }
}

export { type AnyTrainer, withTrials }
