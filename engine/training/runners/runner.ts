// How a kind of task is done on this machine: a file for each, and a table in index.ts that the compiler holds against the kinds of the
// protocol.
//
// A step is one mini-batch, numbered within its task: path of `paths`, gates of `steps`, or path · mini-batches + mini-batch of an
// evaluation. Nothing that a task computes depends on the number of threads.

import type { ResultOf, SearchConfig, StepWork, TaskResult } from '../../../protocol/index.ts'
import type { Choice, Space } from '../../../search-space/index.ts'
import type { BatchRequest } from '../../datasets/index.ts'
import type { trainStep, Weights, Sgd } from '../../executor/index.ts'
import type { Wave } from './waves.ts'

/** What a step gave. */
type StepOutcome = {
  readonly loss: number
  readonly correct: number
  /** [block][0 = active, then inactive]; of `gateGradients` only. */
  readonly gateGradients?: (number[] | null)[]
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

/** What one step has to work with: its network on its mini-batch, and this thread's weights and optimiser. */
type StepInput = {
  readonly step: Omit<Parameters<typeof trainStep>[0], 'labelSmoothing' | 'accumulate'>
  readonly choices: readonly Choice[]
  readonly decisions: Space['decisions']
  readonly weights: Weights
  readonly optimiser: Sgd
  readonly training: SearchConfig['training']
  /** Runs a step in as many parts as fit into memory; notes what it took. */
  measured<T extends { readonly peakBytes: number }>(run: (parts: number) => Promise<T>): Promise<T>
}

// Methods, not fields: a runner of one kind is then one of any kind, and `runnerOf` finds that of a piece of work.
type AnyRunner<Work extends StepWork, Result extends TaskResult> = {
  /** Networks that its steps run, one after the other. */
  networks(work: Work): readonly (readonly Choice[])[]
  /** Mini-batches that each of these networks sees. */
  batchesPerNetwork(work: Work, shares: SharesInBatches): number
  /** The mini-batch of a step. */
  request(work: Work, step: number, batches: NumberedBatches, batchesPerNetwork: number): BatchRequest
  plan(work: Work, threads: number, batchesPerNetwork: number): Wave[]
  run(work: Work, step: number, input: StepInput): Promise<StepOutcome>
  /** The result from what each of the steps gave. */
  result(work: Work, outcomes: readonly StepOutcome[], sizes: { readonly batchSize: number; readonly batchesPerNetwork: number }): Result
}

type TaskRunner<K extends StepWork['kind']> = AnyRunner<Extract<StepWork, { kind: K }>, ResultOf<K>>

/** Loss, hits and images of some steps together. */
function sumUp(steps: readonly StepOutcome[], batchSize: number): { loss: number; correct: number; images: number } {
  return {
    loss: steps.reduce((sum, { loss }) => sum + loss / steps.length, 0),
    correct: steps.reduce((sum, { correct }) => sum + correct, 0),
    images: steps.length * batchSize,
  }
}

export { type AnyRunner, type NumberedBatches, type SharesInBatches, type StepInput, type StepOutcome, sumUp, type TaskRunner }
