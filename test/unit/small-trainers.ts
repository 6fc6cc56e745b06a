// Trainers of the small space and its images (training-images.ts), as an agent opens them.

import { openBackend } from '../../engine/backends/backends.ts'
import { openBatchSource } from '../../engine/datasets/index.ts'
import { createThreadsTrainer } from '../../engine/training/lanes/threads-trainer.ts'
import { createTrainer, type Trainer } from '../../engine/training/trainer.ts'
import type { SearchConfig } from '../../protocol/index.ts'
import { createSpace, resolveSpaceConfig, type SpaceRef } from '../../search-space/index.ts'
import { SMALL_SPACE, smallDataset } from './training-images.ts'

type Options = { readonly config: SearchConfig; readonly space?: SpaceRef }

async function openInThisThread({ config, space = SMALL_SPACE }: Options): Promise<Trainer> {
  const { chosen: backend } = await openBackend('wasm')
  const dataset = smallDataset()
  return createTrainer({ backend, dataset, source: await openBatchSource(dataset), space: createSpace(space), config })
}

async function openInThreads(
  threads: number,
  { config, space = SMALL_SPACE, stop = new AbortController().signal }: Options & { readonly stop?: AbortSignal },
): Promise<Trainer> {
  const { chosen: backend } = await openBackend('wasm')
  return createThreadsTrainer({
    threads,
    backend,
    allowSoftwareAdapter: false,
    dataset: smallDataset(),
    space: resolveSpaceConfig(space),
    config,
    accumulate: 'auto',
    stop,
    onNote: () => undefined,
  })
}

export { openInThisThread, openInThreads }
