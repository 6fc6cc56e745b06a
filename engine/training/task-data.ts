// Which images each step of a task looks at: a function of the data, the seed and the step's number alone.

import type { SearchConfig, TaskWork } from '../../protocol/index.ts'
import { batchIndices, type BatchRequest, type Dataset, type Shares, splitShares } from '../datasets/index.ts'

type TaskData = {
  readonly shares: Shares
  /** Mini-batches that each path of an evaluation is measured on; 1 for other work. */
  batchesPerPath(work: TaskWork): number
  /** The mini-batch of a step, numbered within its task. */
  request(work: TaskWork, step: number): BatchRequest
}

function createTaskData(dataset: Dataset, { seed, training }: SearchConfig): TaskData {
  const { batchSize, augmentation: settings } = training
  const shares = splitShares(dataset.train.count, seed, training.shares)
  const batchesPerPath = (work: TaskWork) => {
    if (work.kind !== 'evaluatePaths') return 1
    return work.batches?.count ?? Math.max(1, Math.floor(Math.min(work.images ?? 0, shares.validation.length) / batchSize))
  }
  const architectureBatch = (number: number): BatchRequest => {
    return { split: 'train', indices: batchIndices(shares.architecture, batchSize, number, `architecture/${seed}`) }
  }
  return {
    shares,
    batchesPerPath,
    request(work, step) {
      switch (work.kind) {
        case 'trainWeights': {
          const number = work.firstStep + step
          const indices = batchIndices(shares.weights, batchSize, number, `weights/${seed}`)
          return { split: 'train', indices, augmentation: { settings, seed: ['augmentation', seed, number] } }
        }
        case 'gateGradients':
          return architectureBatch(work.firstStep + step)
        case 'evaluatePaths': {
          const batch = step % batchesPerPath(work)
          if (work.batches) return architectureBatch(work.batches.first + batch)
          return { split: 'train', indices: shares.validation.subarray(batch * batchSize, (batch + 1) * batchSize) }
        }
        default:
          return work satisfies never
      }
    },
  }
}

export { createTaskData, type TaskData }
