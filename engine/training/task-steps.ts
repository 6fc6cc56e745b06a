// The steps of tasks on this thread's device: train a path on a mini-batch, measure its gates, evaluate it.

import * as tf from '@tensorflow/tfjs-core'
import type { SearchConfig, TaskWork } from '../../protocol/index.ts'
import type { Space } from '../../search-space/index.ts'
import type { Batch, BatchStream } from '../datasets/index.ts'
import { cosineRate, evaluate, gateStep, type Sgd, trainStep, type Weights } from '../executor/index.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'
import type { TaskData } from './task-data.ts'
import type { TaskNetworks } from './task-networks.ts'
import { choicesOf, placeInLane, type StepOutcome } from './task-plan.ts'

type TaskSteps = {
  /** Does one step, on the next mini-batch of the stream. */
  run(work: TaskWork, step: number, stream: BatchStream): Promise<StepOutcome>
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

/** Effective steps of the search at a step: where the learning rate is. */
function positionOf(work: Extract<TaskWork, { kind: 'trainWeights' }>, step: number): number {
  if (!work.schedule) return work.firstStep + step
  return work.schedule.from + placeInLane(work, step).localStep * work.schedule.perStep
}

function createTaskSteps({ space, config, data, networks, weights, optimiser, accumulate, onNote }: StepsOptions): TaskSteps {
  const { batchSize, labelSmoothing, steps: totalSteps, learningRate } = config.training
  const microBatches = createMicroBatches(accumulate, (parts, reason) =>
    onNote(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  let peakBytes = 0

  const runOn = async (work: TaskWork, step: number, images: tf.Tensor4D, labels: Int32Array): Promise<StepOutcome> => {
    const choices = choicesOf(work, step, data.batchesPerPath(work))
    const input = { graph: networks.graphOf(choices), weights, images, labels }
    switch (work.kind) {
      case 'trainWeights': {
        const done = await microBatches.run(batchSize, (parts) => trainStep({ ...input, labelSmoothing, accumulate: parts }))
        peakBytes = Math.max(peakBytes, done.peakBytes)
        optimiser.apply(weights, done.gradients, cosineRate(positionOf(work, step), totalSteps, learningRate))
        return { loss: done.loss, correct: done.correct }
      }
      case 'gateGradients': {
        const done = await microBatches.run(batchSize, (parts) => gateStep({ ...input, accumulate: parts }))
        peakBytes = Math.max(peakBytes, done.peakBytes)
        const byBlock = new Map(done.gateGradients.map((gradient) => [gradient.block, [...gradient.gradients]]))
        return { loss: done.loss, correct: done.correct, gateGradients: choices.map((_, block) => byBlock.get(block) ?? null) }
      }
      case 'evaluatePaths': {
        const { loss, correct } = await evaluate(input)
        return { loss, correct }
      }
      default:
        return work satisfies never
    }
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
