// Which images each step of a task looks at: a function of the data, the seed and the step's number alone.

import type { SearchConfig, StepWork } from '../../protocol/index.ts'
import { batchIndices, type BatchRequest, type Dataset, type Shares, splitShares } from '../datasets/index.ts'
import { type NumberedBatches, runnerOf } from './runners/index.ts'

type TaskData = {
  readonly shares: Shares
  /** Mini-batches that each path of an evaluation is measured on; 1 for other work. */
  batchesPerPath(work: StepWork): number
  /** The mini-batches of a step, numbered within its task. */
  requests(work: StepWork, step: number): readonly BatchRequest[]
}

function createTaskData(dataset: Dataset, { seed, training }: SearchConfig): TaskData {
  const { batchSize, augmentation: settings } = training
  const shares = splitShares(dataset.train.count, seed, training.shares)
  const batches: NumberedBatches = {
    weights: (number) => ({
      split: 'train',
      indices: batchIndices(shares.weights, batchSize, number, `weights/${seed}`),
      augmentation: { settings, seed: ['augmentation', seed, number] },
    }),
    architecture: (number) => ({ split: 'train', indices: batchIndices(shares.architecture, batchSize, number, `architecture/${seed}`) }),
    validation: (number) => ({ split: 'train', indices: shares.validation.subarray(number * batchSize, (number + 1) * batchSize) }),
  }
  const batchesPerPath = (work: StepWork) =>
    runnerOf(work).batchesPerNetwork(work, { batchSize, validationImages: shares.validation.length })
  return {
    shares,
    batchesPerPath,
    requests: (work, step) => runnerOf(work).requests(work, step, batches, batchesPerPath(work)),
  }
}

export { createTaskData, type TaskData }
