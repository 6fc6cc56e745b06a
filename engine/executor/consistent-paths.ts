// Two paths on one mini-batch that learn from its labels and from each other, after the cross-path learning of Pi-NAS (Peng et al. 2021,
// ICCV), which pulls the features of one path to those of another:
//
//   loss = 1/2 * sum_k [ (1 - w) * cross-entropy(labels, q_k) + w * T² * cross-entropy(p_j, q_k) ],   j the other path,
//   p_j = softmax(logits_j / T) a constant
//
// First both run forward, for what each says of the images; then each is trained by itself, so that activations in memory are those of one.
// In place of features, which Pi-NAS learns without labels, stand the logits, and in place of a mean teacher the weights themselves.

import * as tf from '@tensorflow/tfjs-core'
import type { LayerGraph } from '../../search-space/layer-graph.ts'
import { runBatch, type StepInput } from './batch-pass.ts'
import { createSink } from './gradient-sink.ts'
import { withHoldings } from './holdings.ts'
import { predict, type TrainInput } from './steps.ts'

type ConsistentPathsInput = Omit<StepInput, 'graph' | 'share'> &
  Pick<TrainInput, 'labelSmoothing'> & {
    readonly graphs: readonly [LayerGraph, LayerGraph]
    /** w above, from 0 to 1. */
    readonly weight: number
    /** T above, positive. */
    readonly temperature: number
  }

type ConsistentPathsResult = {
  /** As above, label smoothing included. */
  readonly loss: number
  /** Hits of the first path. */
  readonly correct: number
  readonly peakBytes: number
  /** The caller's to dispose; `Sgd.apply` does. */
  readonly gradients: Map<string, tf.Tensor>
}

/** Loss and weight gradients of one batch. */
async function consistentPathsStep(input: ConsistentPathsInput): Promise<ConsistentPathsResult> {
  const { graphs, weight, temperature, labelSmoothing = 0, ...batch } = input
  const [first, second] = graphs
  const images = batch.labels.length
  const logitsOf = async (graph: LayerGraph) => {
    const logits = await predict({ ...batch, graph })
    return [images, logits.length / images, logits] as const
  }
  const said = [await logitsOf(second), await logitsOf(first)] as const
  return withHoldings(async (holdings) => {
    const sink = createSink(batch.weights, holdings)
    const train = async (graph: LayerGraph, [rows, classes, values]: (typeof said)[number]) => {
      const teacherLogits = holdings.hold(tf.tensor2d(values, [rows, classes]))
      const settings = { mode: 'weights', labelSmoothing, distillation: { teacherLogits, temperature, weight } } as const
      const numbers = await runBatch({ ...batch, graph, share: 1 / graphs.length }, sink, settings, holdings)
      holdings.release(teacherLogits)
      return numbers
    }
    const one = await train(first, said[0])
    const other = await train(second, said[1])
    for (const gradient of sink.gradients.values()) holdings.handOver(gradient)
    const loss = (one.loss + other.loss) / graphs.length
    return { loss, correct: one.correct, gradients: sink.gradients, peakBytes: holdings.peakBytes() }
  })
}

export { consistentPathsStep, type ConsistentPathsInput }
