// What a score is: one number that a network has before any training, and that orders networks about as their accuracy does. One file
// per score beside this one, and a table in index.ts.

import type * as tf from '@tensorflow/tfjs-core'
import type { LayerGraph } from '../../search-space/index.ts'
import type { Weights } from '../executor/index.ts'

/** A network with weights of its own, and the mini-batch that it is scored on. Batch-norms use the statistics of the mini-batch. */
type ScoredNetwork = {
  readonly graph: LayerGraph
  /** In the shapes that the layers read, as they are before training. */
  readonly weights: Weights
  /** Filters and matrices, the weights that scores are sums over; not biases and not those of batch-norms. */
  readonly keys: readonly string[]
  /** [batch, height, width, channels] */
  readonly images: tf.Tensor4D
  readonly labels: Int32Array
  readonly macs: number
  readonly parameters: number
  /** What several scores are made of is computed once: the first call's `compute` counts. Its time counts for each that asks. */
  shared<T>(name: string, compute: () => Promise<T>): Promise<T>
}

/**
 * More is better. Null where the network has none: it is constant, say, or the number would be no finite one. Such a network
 * counts as worse than all others.
 */
type Score = (network: ScoredNetwork) => Promise<number | null>

export type { Score, ScoredNetwork }
