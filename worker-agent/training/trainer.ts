// Runs the steps of tasks on this machine: mini-batch by number, network by path, optimiser. Knows nothing of leases or
// networks, so that the same code trains in an agent, in a test without a coordinator, and from scratch.

import * as tf from '@tensorflow/tfjs-core'
import type { ResultOf, SearchConfig, TaskWork } from '../../coordinator/protocol/index.ts'
import { type Choice, createRandom, type LayerGraph, type Path, seedState, type Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import { type Augmentation, batchIndices, type Dataset, fillBatch, type Shares, splitShares } from '../datasets/index.ts'
import { cosineRate, createSgd, createWeights, evaluate, gateStep, trainStep, type Weights } from '../executor/index.ts'
import { type Accumulate, createMicroBatches } from './micro-batches.ts'

/** Graphs kept by path: late in a search the same few paths come again and again. */
const MAX_GRAPHS = 256

type Step = { readonly images: tf.Tensor4D; readonly labels: Int32Array }

type Done<W extends TaskWork> = {
  readonly result: ResultOf<W['kind']>
  /** Most bytes that one step's activations and gradients took; 0 for an evaluation. */
  readonly peakBytes: number
}

type Trainer = {
  readonly weights: Weights
  /** Keys of the weights that the work reads. */
  keysOf(work: TaskWork): string[]
  /** Does the work. `betweenSteps` runs before every step with the number of steps still to do. */
  run<W extends TaskWork>(work: W, betweenSteps: (stepsLeft: number) => Promise<void>): Promise<Done<W>>
  /** Forgets the optimiser's velocities, after weights were found broken. */
  resetOptimiser(): void
}

/** A share of the data that is too small for one mini-batch. */
class TrainerError extends Error {
  override readonly name = 'TrainerError'
  readonly code = 'share-too-small'
}

function weightKeys(graph: LayerGraph): string[] {
  const keys: string[] = []
  for (const layer of graph.layers) {
    const primitives = layer.kind === 'mixed' ? layer.branches.flatMap((branch) => branch.layers) : [layer]
    for (const primitive of primitives) {
      if (primitive.kind === 'conv2d' || primitive.kind === 'depthwiseConv2d') keys.push(primitive.filter)
      else if (primitive.kind === 'batchNorm') keys.push(primitive.gamma, primitive.beta)
      else if (primitive.kind === 'linear') keys.push(primitive.weights, primitive.bias)
    }
  }
  return keys
}

function checkShares(shares: Shares, batchSize: number): void {
  for (const [name, indices] of Object.entries(shares)) {
    if (indices.length < batchSize) {
      throw new TrainerError(
        `the ${name} share has ${indices.length} images, fewer than one mini-batch of ${batchSize}: use more data, another share or a smaller training.batchSize`,
      )
    }
  }
}

/** Throws TrainerError where a share of the data cannot fill one mini-batch. */
function createTrainer({
  backend,
  dataset,
  space,
  config,
  accumulate = 'auto',
  onNote = () => undefined,
}: {
  backend: Backend
  dataset: Dataset
  space: Space
  config: SearchConfig
  /** Parts that a mini-batch is split into. Default: as few as fit into the device's memory. */
  accumulate?: Accumulate
  onNote?: (line: string) => void
}): Trainer {
  const { training, seed } = config
  const { batchSize, labelSmoothing, momentum, weightDecay } = training
  const shares = splitShares(dataset.train.count, seed, training.shares)
  checkShares(shares, batchSize)
  const weights = createWeights(backend, space.weightSpecs, seed)
  const optimiser = createSgd({ momentum, nesterov: true, weightDecay })
  const graphs = new Map<string, LayerGraph>()
  const microBatches = createMicroBatches(accumulate, (parts, reason) =>
    onNote(`mini-batches are split into ${parts} from now on: ${reason}`),
  )
  let peakBytes = 0

  const graphOf = (choices: readonly Choice[]): LayerGraph => {
    const name = JSON.stringify(choices)
    const known = graphs.get(name)
    if (known) return known
    if (graphs.size >= MAX_GRAPHS) graphs.clear()
    const graph = space.network(choices)
    graphs.set(name, graph)
    return graph
  }

  const batchTensor = (indices: Uint32Array, augmentation?: { settings: Augmentation; step: number }): Step => {
    const random = augmentation && createRandom(seedState('augmentation', seed, augmentation.step))
    const { images, labels } = fillBatch({
      split: dataset.train,
      indices,
      normalisation: dataset.normalisation,
      augmentation: augmentation?.settings,
      random,
    })
    return { images: tf.tensor4d(images, [indices.length, ...space.input]), labels }
  }

  const withStep = async <T>(step: Step, body: (step: Step) => Promise<T>): Promise<T> => {
    try {
      return await body(step)
    } finally {
      step.images.dispose()
    }
  }

  const trainPath = (path: Path, step: number) => {
    const indices = batchIndices(shares.weights, batchSize, step, `weights/${seed}`)
    return withStep(batchTensor(indices, { settings: training.augmentation, step }), async ({ images, labels }) => {
      const input = { graph: graphOf(path), weights, images, labels, labelSmoothing }
      const done = await microBatches.run(batchSize, (parts) => trainStep({ ...input, accumulate: parts }))
      const { loss, correct, gradients } = done
      peakBytes = Math.max(peakBytes, done.peakBytes)
      optimiser.apply(weights, gradients, cosineRate(step, training.steps, training.learningRate))
      return { loss, correct }
    })
  }

  const measureGates = (choices: readonly Choice[], step: number) => {
    const indices = batchIndices(shares.architecture, batchSize, step, `architecture/${seed}`)
    return withStep(batchTensor(indices), async ({ images, labels }) => {
      const input = { graph: graphOf(choices), weights, images, labels }
      const done = await microBatches.run(batchSize, (parts) => gateStep({ ...input, accumulate: parts }))
      const { loss, correct, gateGradients } = done
      peakBytes = Math.max(peakBytes, done.peakBytes)
      const byBlock = new Map(gateGradients.map((gradient) => [gradient.block, [...gradient.gradients]]))
      return { crossEntropy: loss, correct, images: batchSize, gateGradients: choices.map((_, block) => byBlock.get(block) ?? null) }
    })
  }

  const evaluatePath = async (path: Path, wanted: number) => {
    const batches = Math.max(1, Math.floor(Math.min(wanted, shares.validation.length) / batchSize))
    let crossEntropy = 0
    let correct = 0
    for (let batch = 0; batch < batches; batch++) {
      const indices = shares.validation.subarray(batch * batchSize, (batch + 1) * batchSize)
      const result = await withStep(batchTensor(indices), ({ images, labels }) =>
        evaluate({ graph: graphOf(path), weights, images, labels }),
      )
      crossEntropy += result.loss / batches
      correct += result.correct
    }
    return { crossEntropy, correct, images: batches * batchSize }
  }

  const run = async (work: TaskWork, betweenSteps: (stepsLeft: number) => Promise<void>): Promise<ResultOf<TaskWork['kind']>> => {
    switch (work.kind) {
      case 'trainWeights': {
        let loss = 0
        let correct = 0
        for (const [i, path] of work.paths.entries()) {
          await betweenSteps(work.paths.length - i)
          const step = await trainPath(path, work.firstStep + i)
          loss += step.loss / work.paths.length
          correct += step.correct
        }
        return { kind: 'trainWeights', loss, correct, images: work.paths.length * batchSize }
      }
      case 'gateGradients': {
        const steps = []
        for (const [i, choices] of work.steps.entries()) {
          await betweenSteps(work.steps.length - i)
          steps.push(await measureGates(choices, work.firstStep + i))
        }
        return { kind: 'gateGradients', steps }
      }
      case 'evaluatePaths': {
        const paths = []
        for (const [i, path] of work.paths.entries()) {
          await betweenSteps(work.paths.length - i)
          paths.push(await evaluatePath(path, work.images))
        }
        return { kind: 'evaluatePaths', paths }
      }
      default:
        return work satisfies never
    }
  }

  return {
    weights,
    keysOf(work) {
      const choices: readonly (readonly Choice[])[] = work.kind === 'gateGradients' ? work.steps : work.paths
      return [...new Set(choices.flatMap((choice) => weightKeys(graphOf(choice))))]
    },
    async run(work, betweenSteps) {
      peakBytes = 0
      const result = (await run(work, betweenSteps)) as ResultOf<(typeof work)['kind']>
      return { result, peakBytes }
    },
    resetOptimiser: () => optimiser.clear(),
  }
}

export { createTrainer, type Trainer, TrainerError }
