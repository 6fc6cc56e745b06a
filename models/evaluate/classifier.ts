// A trained model that says what images are: layer by layer as the training evaluated it, so that the same mini-batches of the same images
// give the same logits, bit for bit on backends that compute the same twice.

import * as tf from '@tensorflow/tfjs-core'
import type { Backend } from '../../engine/backends/backends.ts'
import { createWeights, predict } from '../../engine/executor/index.ts'
import { networkWeights } from '../../search-space/index.ts'
import type { TrainedModel } from '../model-folder.ts'

/** Images of a mini-batch where the model does not say how many it was evaluated with. */
const DEFAULT_BATCH = 64

type Classifier = {
  /** Images in a mini-batch, as in the training's own evaluation. */
  readonly batchSize: number
  /** Row-major [count, classes] of `count` normalised images, NHWC. */
  logits(images: Float32Array, count: number): Promise<Float32Array>
  dispose(): void
}

function batchSizeOf({ description }: TrainedModel): number {
  const recipe = description.training['recipe']
  const stated = typeof recipe === 'object' && recipe !== null ? (recipe as { batchSize?: unknown }).batchSize : undefined
  return typeof stated === 'number' && Number.isInteger(stated) && stated > 0 ? stated : DEFAULT_BATCH
}

/** On the backend, which is the active one. */
function createClassifier(backend: Backend, model: TrainedModel): Classifier {
  const { space, path, statistics } = model
  const graph = space.network(path)
  const weights = createWeights(backend, [...networkWeights(graph).values()], 0)
  for (const [key, { values }] of model.weights) weights.write(key, values)
  return {
    batchSize: batchSizeOf(model),
    async logits(values, count) {
      const images = tf.tensor4d(values, [count, ...space.input])
      try {
        return await predict({ graph, weights, images, statistics })
      } finally {
        images.dispose()
      }
    },
    dispose: () => weights.dispose(),
  }
}

/** Softmax of one row: probabilities of the classes, in float64. */
function probabilitiesOf(logits: Float32Array): Float64Array {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY)
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map((power) => power / total)
}

/** Classes from the likeliest on, at most `count`; of equal ones the lower comes first. */
function topClasses(logits: Float32Array, count: number): number[] {
  return Array.from(logits, (_, index) => index)
    .sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b)
    .slice(0, count)
}

export { type Classifier, createClassifier, probabilitiesOf, topClasses }
