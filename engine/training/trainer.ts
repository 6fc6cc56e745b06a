// Runs the steps of tasks on this machine: mini-batch by number, network by path, optimiser. Knows nothing of leases or
// networks, so that the same code trains in an agent and in a test without a coordinator.
//
// `createTrainer` does it in this thread, the lanes of a task one after the other. lanes/threads-trainer.ts does the same, to
// the last bit, in threads.

import {
  COMMON_EXPONENT,
  OPERATION_EXPONENT,
  type ResultOf,
  type SearchConfig,
  type StepWork,
  trainsWeights,
} from '../../protocol/index.ts'
import { commonWeights, elementCount, type Space } from '../../search-space/index.ts'
import type { Backend } from '../backends/backends.ts'
import type { BatchRequest, BatchSource, BatchStream, Dataset, Shares } from '../datasets/index.ts'
import { createSgd, createWeights, type Weights } from '../executor/index.ts'
import { contestedBy, hasTrained, mergeContested, type Trained } from './merge-lanes.ts'
import type { Accumulate } from './micro-batches.ts'
import { reducedResolution } from './reduced-resolution.ts'
import { createTaskData } from './task-data.ts'
import { createTaskNetworks } from './task-networks.ts'
import { planWaves, resultOf, type StepOutcome, type Turn, type Wave } from './task-plan.ts'
import { createTaskSteps } from './task-steps.ts'

type Done<W extends StepWork> = {
  readonly result: ResultOf<W['kind']>
  /**
   * Most bytes that activations and gradients took: those of one step or, in threads, the sum of one step's of each thread
   * that ran at the time. 0 for an evaluation.
   */
  readonly peakBytes: number
}

type Trainer = {
  /** Read and written between steps only. */
  readonly weights: Weights
  /** The optimiser's velocities, by the keys of their weights; zeros at first. Read and written between steps only. */
  readonly velocities: Pick<Weights, 'read' | 'write'>
  /** Keys of the weights that the work reads. */
  keysOf(work: StepWork): string[]
  /** The smallest part of each of these weights that has in it all that the work reads. */
  partsOf(work: StepWork): ReadonlyMap<string, readonly number[]>
  /** Says what will be run next, so that its first batches are ready. Only the last one said is kept. */
  prefetch(work: StepWork): void
  /**
   * Does the work. `betweenSteps` runs before every step with the number of steps still to do; with lanes, before every
   * sub-round, and the number is that of each lane.
   */
  run<W extends StepWork>(work: W, betweenSteps: (stepsLeft: number) => Promise<void>): Promise<Done<W>>
  /** Forgets the optimiser's velocities, after weights were found broken. */
  resetOptimiser(): void
  /** Files of the data that could not be decoded so far; another image of their class took the place of each. */
  brokenFiles(): string[]
  /** Frees what it holds, whatever it is doing. */
  close(): Promise<void>
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

/** γ of merge-lanes.ts. Steps on mixtures train operations as they train stem and head: in all lanes, all the time. */
function mergeExponents(space: Space): (work: StepWork, key: string) => number {
  const common = commonWeights(space)
  return ({ kind }, key) => (kind === 'trainWeights' && !common.has(key) ? OPERATION_EXPONENT : COMMON_EXPONENT)
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
  const { batchSize, momentum, weightDecay } = training
  const data = createTaskData(dataset, config)
  checkShares(data.shares, batchSize)
  const networks = createTaskNetworks(space, reducedResolution(config))
  const weights = createWeights(backend, space.weightSpecs, seed)
  const optimiser = createSgd({ momentum, nesterov: true, weightDecay })
  const steps = createTaskSteps({ backend, space, config, data, networks, weights, optimiser, accumulate, onNote })
  const exponentOf = mergeExponents(space)
  const ruleOf = (work: StepWork) => ({
    shapeOf: (key: string) => weights.spec(key).shape,
    exponentOf: (key: string) => exponentOf(work, key),
  })

  const planOf = (work: StepWork) => planWaves(work, 1, data.batchesPerPath(work))

  /** The mini-batches of a task, in the order of its steps. */
  function* requestsOf(work: StepWork): Generator<BatchRequest> {
    for (const { turns } of planOf(work)) for (const turn of turns) for (const step of turn) yield* data.requests(work, step)
  }

  let expected: { work: StepWork; stream: BatchStream } | null = null
  const dropExpected = () => {
    void expected?.stream.return()
    expected = null
  }
  const streamFor = (work: StepWork): BatchStream => {
    if (expected?.work !== work) return source.batches(requestsOf(work))
    const { stream } = expected
    expected = null
    return stream
  }

  const readVelocity = async (key: string) => (await optimiser.readVelocity(key)) ?? new Float32Array(elementCount(weights.spec(key).shape))

  const readBoth = async (key: string): Promise<Trained> => ({ weight: await weights.read(key), velocity: await readVelocity(key) })

  const writeVelocity = (key: string, values: Float32Array) => optimiser.writeVelocity(key, weights.spec(key).shape, values)

  const writeBoth = (key: string, { weight, velocity }: Trained) => {
    weights.write(key, weight)
    writeVelocity(key, velocity)
  }

  /** Lets each lane train from the same weights, and merges what they have learnt. */
  const runLanes = async (work: StepWork, { turns }: Wave, runTurn: (turn: Turn) => Promise<void>) => {
    const uses = turns.map((turn) => networks.usesOf(work, turn, 1))
    const contested = contestedBy(uses, ruleOf(work))
    const starts = new Map<string, Trained>()
    for (const { key } of contested) starts.set(key, await readBoth(key))
    const startOf = (key: string) => starts.get(key) as Trained
    const learnt = turns.map(() => new Map<string, Trained>())
    for (const [lane, turn] of turns.entries()) {
      const own = contested.filter((weight) => hasTrained(weight, lane))
      for (const { key } of own) writeBoth(key, startOf(key))
      await runTurn(turn)
      for (const { key } of own) learnt[lane]?.set(key, await readBoth(key))
    }
    for (const weight of contested) {
      const { key } = weight
      const merged = startOf(key)
      mergeContested(weight, merged, (lane) => learnt[lane]?.get(key) as Trained, 0, merged.weight.length)
      writeBoth(key, merged)
    }
  }

  const runOn = async (stream: BatchStream, work: StepWork, betweenSteps: (stepsLeft: number) => Promise<void>) => {
    const outcomes: StepOutcome[] = []
    const runTurn = async (turn: Turn) => {
      for (const step of turn) outcomes[step] = await steps.run(work, step, stream)
    }
    for (const wave of planOf(work)) {
      await betweenSteps(wave.stepsLeft)
      if (trainsWeights(work) && wave.turns.length > 1) await runLanes(work, wave, runTurn)
      else for (const turn of wave.turns) await runTurn(turn)
    }
    return resultOf(work, outcomes, batchSize, data.batchesPerPath(work))
  }

  return {
    weights,
    velocities: { read: readVelocity, write: writeVelocity },
    keysOf: networks.keysOf,
    partsOf: networks.partsOf,
    prefetch(work) {
      dropExpected()
      expected = { work, stream: source.batches(requestsOf(work)) }
    },
    async run(work, betweenSteps) {
      steps.takePeakBytes()
      const stream = streamFor(work)
      try {
        const result = (await runOn(stream, work, betweenSteps)) as ResultOf<(typeof work)['kind']>
        return { result, peakBytes: steps.takePeakBytes() }
      } finally {
        await stream.return()
      }
    },
    resetOptimiser: () => optimiser.clear(),
    brokenFiles: () => source.brokenFiles(),
    async close() {
      dropExpected()
      weights.dispose()
      optimiser.clear()
    },
  }
}

export { checkShares, createTrainer, mergeExponents, type Trainer, TrainerError }
