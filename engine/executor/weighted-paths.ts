// Several paths on one mini-batch, whose gradients are added up with their importance (PARSEC: Casale, Gordon and Fusi 2019, section 3):
//
//   omega_k = softmax_k(-T * L_k),   dL/dw = sum_k omega_k * dL_k/dw
//
// with L_k the mean cross-entropy of path k. That is the gradient of -1/T * log(1/K * sum_k exp(-T * L_k)), the marginal likelihood that
// the samples stand for. First all paths run forward, to have the weights; then each is trained by itself, so that activations in memory
// are those of one path. A path whose weight adds nothing in float32 is left out of the second pass.

import type * as tf from '@tensorflow/tfjs-core'

import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { runBatch, type StepInput } from './batch-pass.ts'
import { createSink } from './gradient-sink.ts'
import { withHoldings } from './holdings.ts'
import { evaluate, type TrainInput } from './steps.ts'

/** Half the distance from 1 to the next float32. */
const NEGLIGIBLE = 2 ** -24

type WeightedPathsInput = Omit<StepInput, 'graph' | 'share'> &
  Pick<TrainInput, 'labelSmoothing'> & {
    readonly graphs: readonly LayerGraph[]
    /** T above. */
    readonly temper: number
  }

type WeightedPathsResult = {
  /** sum_k omega_k * L_k, label smoothing included. */
  readonly loss: number
  /** Hits of the path with the largest weight. */
  readonly correct: number
  /** omega. */
  readonly importances: readonly number[]
  readonly peakBytes: number
  /** The caller's to dispose; `Sgd.apply` does. */
  readonly gradients: Map<string, tf.Tensor>
}

function importancesOf(losses: readonly number[], temper: number): number[] {
  const least = Math.min(...losses)
  const powers = losses.map((loss) => Math.exp(-temper * (loss - least)))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map((power) => power / total)
}

/** Loss and weight gradients of one batch. */
async function weightedPathsStep({ graphs, temper, labelSmoothing = 0, ...batch }: WeightedPathsInput): Promise<WeightedPathsResult> {
  const losses: number[] = []
  for (const graph of graphs) losses.push((await evaluate({ ...batch, graph })).loss)
  const importances = importancesOf(losses, temper)
  return withHoldings(async (holdings) => {
    const sink = createSink(batch.weights, holdings)
    const largest = importances.indexOf(Math.max(...importances))
    let loss = 0
    let correct = 0
    for (const [k, graph] of graphs.entries()) {
      const share = importances[k] as number
      if (share < NEGLIGIBLE) continue
      const trained = await runBatch({ ...batch, graph, share }, sink, { mode: 'weights', labelSmoothing }, holdings)
      loss += share * trained.loss
      if (k === largest) correct = trained.correct
    }
    for (const gradient of sink.gradients.values()) holdings.handOver(gradient)
    return { loss, correct, importances, gradients: sink.gradients, peakBytes: holdings.peakBytes() }
  })
}

export { weightedPathsStep, type WeightedPathsInput, type WeightedPathsResult }
