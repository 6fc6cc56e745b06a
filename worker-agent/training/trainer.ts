// Runs the steps of tasks on this machine: mini-batch by number, network by path, optimiser. Knows nothing of leases or
// networks, so that the same code trains in an agent, in a test without a coordinator, and from scratch.

import * as tf from '@tensorflow/tfjs-core'
import type { ResultOf, SearchConfig, TaskWork } from '../../coordinator/protocol/index.ts'
import { type Choice, type LayerGraph, type Path, type Space, weightKeys } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import {
  type Batch,
  batchIndices,
  type BatchRequest,
  type BatchSource,
  type BatchStream,
  type Dataset,
  type Shares,
  splitShares,
} from '../datasets/index.ts'
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
  /** Says what will be run next, so that its first batches are ready. Only the last one said is kept. */
  prefetch(work: TaskWork): void
  /** Does the work. `betweenSteps` runs before every step with the number of steps still to do. */
  run<W extends TaskWork>(work: W, betweenSteps: (stepsLeft: number) => Promise<void>): Promise<Done<W>>
  /** Forgets the optimiser's velocities, after weights were found broken. */
  resetOptimiser(): void
  /** Files of the data that could not be decoded so far; another image of their class took the place of each. */
  brokenFiles(): string[]
}

/** A share of the data that is too small for one mini-batch. */
class TrainerError extends Error {
  override readonly name = 'TrainerError'
  readonly code = 'share-too-small'
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
  source,
  space,
  config,
  accumulate = 'auto',
  onNote = () => undefined,
}: {
  backend: Backend
  dataset: Dataset
  source: BatchSource
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

  /** The mini-batches of a task, in the order of its steps. */
  function* requestsOf(work: TaskWork): Generator<BatchRequest> {
    switch (work.kind) {
      case 'trainWeights':
        for (const [i] of work.paths.entries()) {
          const step = work.firstStep + i
          const indices = batchIndices(shares.weights, batchSize, step, `weights/${seed}`)
          yield { split: 'train', indices, augmentation: { settings: training.augmentation, seed: ['augmentation', seed, step] } }
        }
        return
      case 'gateGradients':
        for (const [i] of work.steps.entries()) {
          yield { split: 'train', indices: batchIndices(shares.architecture, batchSize, work.firstStep + i, `architecture/${seed}`) }
        }
        return
      case 'evaluatePaths':
        for (const _ of work.paths) {
          for (let batch = 0; batch < evaluationBatches(work.images); batch++) {
            yield { split: 'train', indices: shares.validation.subarray(batch * batchSize, (batch + 1) * batchSize) }
          }
        }
        return
      default:
        work satisfies never
    }
  }
  const evaluationBatches = (images: number) => Math.max(1, Math.floor(Math.min(images, shares.validation.length) / batchSize))

  let expected: { work: TaskWork; stream: BatchStream } | null = null
  const dropExpected = () => {
    void expected?.stream.return()
    expected = null
  }
  const streamFor = (work: TaskWork): BatchStream => {
    if (expected?.work !== work) return source.batches(requestsOf(work))
    const { stream } = expected
    expected = null
    return stream
  }

  const nextStep = async (stream: BatchStream): Promise<Step> => {
    const { images, labels } = (await stream.next()).value as Batch
    return { images: tf.tensor4d(images, [labels.length, ...space.input]), labels }
  }

  const withStep = async <T>(step: Step, body: (step: Step) => Promise<T>): Promise<T> => {
    try {
      return await body(step)
    } finally {
      step.images.dispose()
    }
  }

  /** `position` in effective steps of the search: where the learning rate is. */
  const trainPath = async (path: Path, position: number, stream: BatchStream) => {
    return withStep(await nextStep(stream), async ({ images, labels }) => {
      const input = { graph: graphOf(path), weights, images, labels, labelSmoothing }
      const done = await microBatches.run(batchSize, (parts) => trainStep({ ...input, accumulate: parts }))
      const { loss, correct, gradients } = done
      peakBytes = Math.max(peakBytes, done.peakBytes)
      optimiser.apply(weights, gradients, cosineRate(position, training.steps, training.learningRate))
      return { loss, correct }
    })
  }

  const measureGates = async (choices: readonly Choice[], stream: BatchStream) => {
    return withStep(await nextStep(stream), async ({ images, labels }) => {
      const input = { graph: graphOf(choices), weights, images, labels }
      const done = await microBatches.run(batchSize, (parts) => gateStep({ ...input, accumulate: parts }))
      const { loss, correct, gateGradients } = done
      peakBytes = Math.max(peakBytes, done.peakBytes)
      const byBlock = new Map(gateGradients.map((gradient) => [gradient.block, [...gradient.gradients]]))
      return { crossEntropy: loss, correct, images: batchSize, gateGradients: choices.map((_, block) => byBlock.get(block) ?? null) }
    })
  }

  const evaluatePath = async (path: Path, wanted: number, stream: BatchStream) => {
    const batches = evaluationBatches(wanted)
    let crossEntropy = 0
    let correct = 0
    for (let batch = 0; batch < batches; batch++) {
      const result = await withStep(await nextStep(stream), ({ images, labels }) =>
        evaluate({ graph: graphOf(path), weights, images, labels }),
      )
      crossEntropy += result.loss / batches
      correct += result.correct
    }
    return { crossEntropy, correct, images: batches * batchSize }
  }

  type BetweenSteps = (stepsLeft: number) => Promise<void>

  const runOn = async (stream: BatchStream, work: TaskWork, betweenSteps: BetweenSteps): Promise<ResultOf<TaskWork['kind']>> => {
    switch (work.kind) {
      case 'trainWeights': {
        const { from, perStep } = work.schedule ?? { from: work.firstStep, perStep: 1 }
        let loss = 0
        let correct = 0
        for (const [i, path] of work.paths.entries()) {
          await betweenSteps(work.paths.length - i)
          const step = await trainPath(path, from + i * perStep, stream)
          loss += step.loss / work.paths.length
          correct += step.correct
        }
        return { kind: 'trainWeights', loss, correct, images: work.paths.length * batchSize }
      }
      case 'gateGradients': {
        const steps = []
        for (const [i, choices] of work.steps.entries()) {
          await betweenSteps(work.steps.length - i)
          steps.push(await measureGates(choices, stream))
        }
        return { kind: 'gateGradients', steps }
      }
      case 'evaluatePaths': {
        const paths = []
        for (const [i, path] of work.paths.entries()) {
          await betweenSteps(work.paths.length - i)
          paths.push(await evaluatePath(path, work.images, stream))
        }
        return { kind: 'evaluatePaths', paths }
      }
      default:
        return work satisfies never
    }
  }

  const run = async (work: TaskWork, betweenSteps: BetweenSteps) => {
    const stream = streamFor(work)
    try {
      return await runOn(stream, work, betweenSteps)
    } finally {
      await stream.return()
    }
  }

  return {
    weights,
    keysOf(work) {
      const choices: readonly (readonly Choice[])[] = work.kind === 'gateGradients' ? work.steps : work.paths
      return [...new Set(choices.flatMap((choice) => weightKeys(graphOf(choice))))]
    },
    prefetch(work) {
      dropExpected()
      expected = { work, stream: source.batches(requestsOf(work)) }
    },
    async run(work, betweenSteps) {
      peakBytes = 0
      const result = (await run(work, betweenSteps)) as ResultOf<(typeof work)['kind']>
      return { result, peakBytes }
    },
    resetOptimiser: () => optimiser.clear(),
    brokenFiles: () => source.brokenFiles(),
  }
}

export { createTrainer, type Trainer, TrainerError }
