// The steps of tasks on this thread's device, each by the runner of its kind.

import * as tf from '@tensorflow/tfjs-core'
import type { SearchConfig, StepWork } from '../../protocol/index.ts'
import type { Space } from '../../search-space/index.ts'
import type { Batch, BatchStream } from '../datasets/index.ts'
import type { Sgd, Weights } from '../executor/index.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'
import type { TaskData } from './task-data.ts'
import type { TaskNetworks } from './task-networks.ts'
import { runnerOf } from './runners/index.ts'
import { choicesOf, type StepOutcome } from './task-plan.ts'

type TaskSteps = {
  /** Does one step, on the next mini-batch of the stream. */
  run(work: StepWork, step: number, stream: BatchStream): Promise<StepOutcome>
  /** Most bytes that one step's activations and gradients took since this was last asked; 0 if only evaluations were done. */
  takePeakBytes(): number
}

type StepsOptions = {
  readonly space: Space
  readonly config: SearchConfig
  readonly data: TaskData
  readonly networks: TaskNetworks
  readonly weights: Weights
  readonly optimiser: Sgd
  readonly accumulate: Accumulate
  readonly onNote: (line: string) => void
}

function createTaskSteps({ space, config, data, networks, weights, optimiser, accumulate, onNote }: StepsOptions): TaskSteps {
  const { training } = config
  const microBatches = createMicroBatches(accumulate, (parts, reason) =>
    onNote(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  let peakBytes = 0

  const runOn = async (work: StepWork, step: number, images: tf.Tensor4D, labels: Int32Array): Promise<StepOutcome> => {
    const choices = choicesOf(work, step, data.batchesPerPath(work))
    return runnerOf(work).run(work, step, {
      step: { graph: networks.graphOf(choices), weights, images, labels },
      choices,
      decisions: space.decisions,
      weights,
      optimiser,
      training,
      async measured(runParts) {
        const done = await microBatches.run(training.batchSize, runParts)
        peakBytes = Math.max(peakBytes, done.peakBytes)
        return done
      },
    })
  }

  return {
    async run(work, step, stream) {
      const { images, labels } = (await stream.next()).value as Batch
      const tensor = tf.tensor4d(images, [labels.length, ...space.input])
      try {
        return await runOn(work, step, tensor, labels)
      } finally {
        tensor.dispose()
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
