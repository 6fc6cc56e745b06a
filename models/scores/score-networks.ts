// Scores of many networks, one after the other, all on one mini-batch of training images.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ScoreName } from '../../protocol/index.ts'
import type { Path, Space } from '../../search-space/index.ts'
import type { Backend } from '../../engine/backends/backends.ts'
import { type Batch, batchIndices, type Dataset, openBatchSource } from '../../engine/datasets/index.ts'
import { scoreNetwork } from '../../engine/scores/index.ts'
import { stepSeconds } from '../../engine/scores/step-seconds.ts'
import { withImages } from '../../engine/training/evaluation.ts'

/** What is known of a network: a value and seconds for each score, in the order in which they were asked for. */
type ScoredArchitecture = {
  readonly path: Path
  /** Null for a network that has none. */
  readonly values: readonly (number | null)[]
  readonly seconds: readonly number[]
  /** Of one training step on the same mini-batch. */
  readonly stepSeconds: number
}

type ScoringOptions = {
  readonly backend: Backend
  readonly dataset: Dataset
  readonly space: Space
  readonly paths: readonly Path[]
  readonly names: readonly ScoreName[]
  /** Of the weights, and of which images are in the mini-batch. */
  readonly seed: number
  readonly batchSize: number
  readonly signal: AbortSignal
  readonly onScored: (scored: ScoredArchitecture) => void
}

/** Throws the signal's reason between two networks, and DatasetError where there are fewer images than a mini-batch. */
async function scoreNetworks(options: ScoringOptions): Promise<void> {
  const { backend, dataset, space, paths, names, seed, batchSize, signal, onScored } = options
  const all = Uint32Array.from({ length: dataset.train.count }, (_, index) => index)
  const source = await openBatchSource(dataset)
  const stream = source.batches([{ split: 'train', indices: batchIndices(all, batchSize, 0, `scores/${seed}`) }])
  try {
    const batch = (await stream.next()).value as Batch
    await withImages(batch, space.input, async (images) => {
      for (const path of paths) {
        signal.throwIfAborted()
        const candidate = { backend, space, path, seed, images, labels: batch.labels }
        const { values, seconds } = await scoreNetwork(names, candidate)
        onScored({ path, values, seconds, stepSeconds: await stepSeconds(candidate) })
        // A signal is heard between two turns of the event loop only.
        await nextTurn()
      }
    })
  } finally {
    await stream.return()
  }
}

export { type ScoredArchitecture, scoreNetworks, type ScoringOptions }
