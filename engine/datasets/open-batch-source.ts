// Which source makes a dataset's mini-batches: the one that fits where its images are.

import type { BatchSource } from './batch-source.ts'
import type { Dataset } from './dataset.ts'
import { openMemoryBatches } from './memory-batches.ts'

/** Loads the image decoder only for data that stay in their files. */
async function openBatchSource(dataset: Dataset): Promise<BatchSource> {
  if (dataset.storage === 'memory') return openMemoryBatches(dataset)
  const { openFileBatches } = await import('./file-batches.ts')
  return openFileBatches(dataset)
}

export { openBatchSource }
