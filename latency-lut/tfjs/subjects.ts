// Layer graphs as things that can be timed, on the active TensorFlow.js backend, in Node and in browsers alike.
//
// A sample is ONE run where the clock can see one. A browser's clock moves in steps of 5 µs to 1 ms; there a sample is as
// many runs as it takes to reach `minSampleMs`, found while warming up.

import * as tf from '@tensorflow/tfjs-core'
import { createRandom, elementCount, initialWeights, type LayerGraph, seedState, type Space } from '../../search-space/index.ts'
import { createInference, type Inference } from '../../worker-agent/executor/inference.ts'
import { MAX_QUEUED_RUNS, QUEUED_SAMPLE_MS } from '../limits.ts'
import type { Subject } from '../measuring.ts'

type SubjectSettings = {
  /** Images in one run. */
  readonly batch: number
  /** Of the images. */
  readonly seed: number
  /** False where a run has ended when the call returns; true where it is only queued on a device. */
  readonly queued: boolean
  /** A sample shorter than this is repeated until it is not. Default 0: one run; for queued ones 20. */
  readonly minSampleMs?: number | undefined
}

type Subjects = {
  /** In the order of the graphs; samples are milliseconds for one run. */
  readonly all: readonly Subject[]
  dispose(): void
}

/**
 * Runs in one sample: grows while samples are too short, and then stays. Between two runs a result is dropped as a
 * network drops it; that of the last one outside of the clock, since its reader would do that.
 */
function createSubject(inference: Inference, images: tf.Tensor4D, queued: boolean, minSampleMs: number): Subject {
  let runs = 1
  return {
    async sample() {
      const startMs = performance.now()
      for (let run = 1; run < runs; run++) inference.run(images).dispose()
      const output = inference.run(images)
      if (queued) await output.data()
      const elapsedMs = performance.now() - startMs
      output.dispose()
      // A clock that has not moved says that one run is nothing beside its step.
      if (elapsedMs <= 0) {
        runs = Math.min(MAX_QUEUED_RUNS, runs * 2)
        return minSampleMs / runs
      }
      const sampleMs = elapsedMs / runs
      if (elapsedMs < minSampleMs) runs = Math.min(MAX_QUEUED_RUNS, Math.max(runs, Math.ceil(minSampleMs / sampleMs)))
      return sampleMs
    },
  }
}

/** Uploads the graphs' weights, and images that graphs with inputs of one shape share. `weights`: values by key, row-major. */
function createSubjects(graphs: readonly LayerGraph[], weights: (key: string) => Float32Array, settings: SubjectSettings): Subjects {
  const { batch, seed, queued, minSampleMs = queued ? QUEUED_SAMPLE_MS : 0 } = settings
  const random = createRandom(seedState('latency-images', seed))
  const inferences: Inference[] = []
  // Large spaces would not fit otherwise.
  const imagesByShape = new Map<string, tf.Tensor4D>()
  const imagesFor = ({ inputShape }: Inference): tf.Tensor4D => {
    const name = inputShape.join('x')
    let images = imagesByShape.get(name)
    if (!images) {
      const shape: [number, number, number, number] = [batch, ...inputShape]
      images = tf.tensor4d(
        Float32Array.from({ length: elementCount(shape) }, () => random.uniform()),
        shape,
      )
      imagesByShape.set(name, images)
    }
    return images
  }
  const dispose = () => {
    for (const inference of inferences) inference.dispose()
    tf.dispose([...imagesByShape.values()])
  }
  try {
    const all = graphs.map((graph) => {
      const inference = createInference({ graph, weights })
      inferences.push(inference)
      return createSubject(inference, imagesFor(inference), queued, minSampleMs)
    })
    return { all, dispose }
  } catch (error) {
    dispose()
    throw error
  }
}

/** Values of a space's weights by key, made when first asked for. */
function weightsOf(space: Space, seed: number): (key: string) => Float32Array {
  const specs = new Map(space.weightSpecs.map((spec) => [spec.key, spec]))
  const values = new Map<string, Float32Array>()
  return (key) => {
    const known = values.get(key)
    if (known) return known
    const spec = specs.get(key)
    if (!spec) throw new Error(`space ${space.name} has no weight ${key}`)
    const made = initialWeights(spec, seed)
    values.set(key, made)
    return made
  }
}

export { createSubjects, weightsOf }
