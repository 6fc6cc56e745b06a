// How a kind of task is done on this machine: a file for each, and a table in index.ts that the compiler holds against the kinds of the
// protocol.
//
// A step is one mini-batch, or two where it looks ahead, numbered within its task: path of `paths`, gates of `steps`, or path · mini-batches
// + mini-batch of an evaluation. Nothing that a task computes depends on the number of threads.

import type { ResultOf, SearchConfig, StepWork, TaskResult } from '../../../protocol/index.ts'
import type { Choice, LayerGraph, Space } from '../../../search-space/index.ts'
import type { Backend } from '../../backends/backend.ts'
import type { BatchRequest } from '../../datasets/index.ts'
import type { Batch, Sgd, Weights } from '../../executor/index.ts'
import type { Wave } from './waves.ts'

/** What a step gave. */
type StepOutcome = {
  readonly loss: number
  readonly correct: number
  /** [block][0 = active, then inactive]; of `gateGradients` only. */
  readonly gateGradients?: (number[] | null)[]
  /** Of `score` only. */
  readonly scores?: ResultOf<'score'>['paths'][number]
  /** Of `batchNormScales` only. */
  readonly scales?: number
  /** [block][operation]; of `mixtureGradients` only. */
  readonly mixtureGradients?: number[][]
  /** Of weight steps with samples. */
  readonly effectiveSamples?: number
}

/** A network that a step runs. */
type TaskNetwork = {
  readonly choices: readonly Choice[]
  /** Mixed layers run all of their branches, and add them up: as they are, or each with its factor, [decision][option]. */
  readonly mixture?: 'sum' | readonly (readonly number[])[]
  /** Pixels of the image down and across that are one of its input; left out: 1. */
  readonly divisor?: number
}

/** Mini-batches by number, as the search's seed has them. */
type NumberedBatches = {
  /** Of the weight share, augmented. */
  weights(number: number): BatchRequest
  architecture(number: number): BatchRequest
  /** The validation share from its start on, not shuffled. */
  validation(number: number): BatchRequest
}

type SharesInBatches = { readonly batchSize: number; readonly validationImages: number }

/** What one step has to work with: its networks and mini-batches, and this thread's weights and optimiser. */
type StepInput = {
  /** In the order of `networks`. */
  readonly graphs: readonly LayerGraph[]
  /** At least one, in the order of `requests`. */
  readonly batches: readonly Batch[]
  readonly decisions: Space['decisions']
  readonly weights: Weights
  readonly optimiser: Sgd
  readonly training: SearchConfig['training']
  /** What a network with weights of its own is made of. */
  readonly fresh: { readonly backend: Backend; readonly space: Space; readonly seed: number }
  /** Runs a step in as many parts as fit into memory; notes what it took. */
  measured<T extends { readonly peakBytes: number }>(run: (parts: number) => Promise<T>): Promise<T>
}

// Methods, not fields: a runner of one kind is then one of any kind, and `runnerOf` finds that of a piece of work.
type AnyRunner<Work extends StepWork, Result extends TaskResult> = {
  /** How many networks, or groups of them, its steps run one after the other. */
  networkCount(work: Work): number
  /** The networks with number `index`: one, or those that a step runs together. */
  networks(work: Work, index: number, decisions: Space['decisions']): readonly TaskNetwork[]
  /** Steps of each of these. */
  batchesPerNetwork(work: Work, shares: SharesInBatches): number
  /** The mini-batches of a step. */
  requests(work: Work, step: number, batches: NumberedBatches, batchesPerNetwork: number): readonly BatchRequest[]
  /** Effective steps of the search at a step; of kinds that train weights only. */
  position?(work: Work, step: number): number
  /** Whether its steps read the velocities of the optimiser, beside those that change them. */
  readsVelocities?(work: Work): boolean
  plan(work: Work, threads: number, batchesPerNetwork: number): Wave[]
  run(work: Work, step: number, input: StepInput): Promise<StepOutcome>
  /** The result from what each of the steps gave. */
  result(work: Work, outcomes: readonly StepOutcome[], sizes: { readonly batchSize: number; readonly batchesPerNetwork: number }): Result
}

type TaskRunner<K extends StepWork['kind']> = AnyRunner<Extract<StepWork, { kind: K }>, ResultOf<K>>

/** The network and the mini-batch of a step that has one of each. */
function onlyOne({ graphs, batches, weights }: StepInput): Batch & { readonly graph: LayerGraph; readonly weights: Weights } {
  const [graph] = graphs
  const [batch] = batches
  if (!graph || !batch) throw new Error('expected a network and a mini-batch')
  return { ...batch, graph, weights }
}

/** Loss, hits and images of some steps together. */
function sumUp(steps: readonly StepOutcome[], batchSize: number): { loss: number; correct: number; images: number } {
  return {
    loss: steps.reduce((sum, { loss }) => sum + loss / steps.length, 0),
    correct: steps.reduce((sum, { correct }) => sum + correct, 0),
    images: steps.length * batchSize,
  }
}

export {
  type AnyRunner,
  type NumberedBatches,
  onlyOne,
  type SharesInBatches,
  type StepInput,
  type StepOutcome,
  sumUp,
  type TaskNetwork,
  type TaskRunner,
}
