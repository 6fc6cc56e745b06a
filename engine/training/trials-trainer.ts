// A trainer of steps that does trials as well: steps share one supernet, a trial has a network of its own.

import type { ResultOf, StepWork, TaskWork, Tensor } from '../../protocol/index.ts'
import { networkWeights, sliceValues } from '../../search-space/index.ts'
import { trainArchitecture, type TrialCheckpoints, type TrialOptions } from './runners/train-architecture.ts'
import type { Trainer } from './trainer.ts'

type AnyTrainer = Omit<Trainer, 'keysOf' | 'partsOf' | 'prefetch' | 'run'> & {
  keysOf(work: TaskWork): string[]
  partsOf(work: TaskWork): ReadonlyMap<string, readonly number[]>
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
  const weightsOfPath = (path: readonly number[]) => networkWeights(space.network(path))
  const readWeights = async (path: readonly number[]) => {
    const tensors = new Map<string, Tensor>()
    for (const [key, { shape }] of weightsOfPath(path)) {
      const values = await trainer.weights.read(key)
      tensors.set(key, { shape, values: sliceValues(values, trainer.weights.spec(key).shape, shape) })
    }
    return tensors
  }
  return {
    ...trainer,
    keysOf(work) {
      if (!isTrial(work)) return trainer.keysOf(work)
      return work.start === 'supernet' ? [...weightsOfPath(work.path).keys()] : []
    },
    partsOf(work) {
      if (!isTrial(work)) return trainer.partsOf(work)
      const read = work.start === 'supernet' ? [...weightsOfPath(work.path)] : []
      return new Map(read.map(([key, { shape }]) => [key, shape]))
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
