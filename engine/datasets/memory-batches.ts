// Batches of a dataset in memory: filled when they are asked for, which takes about a hundredth of a training step.

import { createRandom, seedState } from '../../search-space/random.ts'
import type { BatchSource } from './batch-source.ts'
import { type MemoryDataset, splitOf } from './dataset.ts'
import { fillBatch } from './fill-batch.ts'
import { mixedBatch } from './mixed-batch.ts'
import { streamBatches } from './stream-batches.ts'

function openMemoryBatches(dataset: MemoryDataset): BatchSource {
  const { normalisation, brokenFiles = [] } = dataset
  return {
    batches: (requests) =>
      streamBatches(requests, 0, (request) => () => {
        const { split, indices: whole, augmentation } = request
        return mixedBatch(request, dataset.shape, async (part) => {
          const random = augmentation && createRandom(seedState(...augmentation.seed))
          const indices = whole.subarray(part.from, part.to)
          return fillBatch({
            split: splitOf(dataset, split),
            indices,
            normalisation,
            augmentation: augmentation?.settings,
            random,
            skip: part.from,
          })
        })
      }),
    brokenFiles: () => [...brokenFiles],
  }
}

export { openMemoryBatches }
