// The steps of tasks on this thread's device, each by the runner of its kind.

import * as tf from '@tensorflow/tfjs-core'
import type { SearchConfig, StepWork } from '../../protocol/index.ts'
import type { Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backend.ts'
import type { Batch, BatchStream } from '../datasets/index.ts'
import type { Batch as ImageBatch, Sgd, Weights } from '../executor/index.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'
import { shrink } from './reduced-resolution.ts'
import type { TaskData } from './task-data.ts'
import type { TaskNetworks } from './task-networks.ts'
import { runnerOf } from './runners/index.ts'
import type { StepOutcome } from './task-plan.ts'

type TaskSteps = {
  /** Does one step, on the next mini-batches of the stream. */
  run(work: StepWork, step: number, stream: BatchStream): Promise<StepOutcome>
  /** Most bytes that one step's activations and gradients took since this was last asked; 0 if only evaluations were done. */
  takePeakBytes(): number
}

type StepsOptions = {
  readonly backend: Backend
  readonly space: Space
  readonly config: SearchConfig
  readonly data: TaskData
  readonly networks: TaskNetworks
  readonly weights: Weights
  readonly optimiser: Sgd
  readonly accumulate: Accumulate
  readonly onNote: (line: string) => void
}

function createTaskSteps({ backend, space, config, data, networks, weights, optimiser, accumulate, onNote }: StepsOptions): TaskSteps {
  const { training } = config
  const microBatches = createMicroBatches(accumulate, (parts, reason) =>
    onNote(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  let peakBytes = 0

  const runOn = async (work: StepWork, step: number, batches: readonly ImageBatch[]): Promise<StepOutcome> =>
    runnerOf(work).run(work, step, {
      graphs: networks.networksOf(work, step, data.batchesPerPath(work)).map(networks.graphOf),
      batches,
      decisions: space.decisions,
      weights,
      optimiser,
      training,
      fresh: { backend, space, seed: config.seed },
      async measured(runParts) {
        const done = await microBatches.run(training.batchSize, runParts)
        peakBytes = Math.max(peakBytes, done.peakBytes)
        return done
      },
    })

  return {
    async run(work, step, stream) {
      const batches: ImageBatch[] = []
      try {
        const divisor = networks.divisorOf(work, step)
        for (const _ of data.requests(work, step)) {
          const { images, labels } = (await stream.next()).value as Batch
          batches.push({ images: shrink(tf.tensor4d(images, [labels.length, ...space.input]), divisor), labels })
        }
        return await runOn(work, step, batches)
      } finally {
        for (const { images } of batches) images.dispose()
      }
    },
    takePeakBytes() {
      const peak = peakBytes
      peakBytes = 0
      return peak
    },
  }
}

export { createTaskSteps, type TaskSteps }
