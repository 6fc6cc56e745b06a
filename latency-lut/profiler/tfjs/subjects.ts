// Networks as things that can be timed by a browser's clock, which moves in steps of 5 µs to 1 ms: a sample is as many runs
// as it takes to reach `minSampleMs`, found while warming up.

import { createRandom, elementCount, type LayerGraph, seedState, type Shape } from '../../../search-space/index.ts'
import { MAX_QUEUED_RUNS, QUEUED_SAMPLE_MS } from '../limits.ts'
import type { Subject } from '../measuring.ts'
import type { PreparedNetwork } from '../workbench.ts'
import { createTfjsWorkbench } from './workbench.ts'

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
  dispose(): Promise<void>
}

/**
 * Runs in one sample: grows while samples are too short, and then stays. Between two runs a result is dropped as a
 * network drops it; that of the last one outside of the clock, since its reader would do that.
 */
function createSubject(network: PreparedNetwork, queued: boolean, minSampleMs: number): Subject {
  let runs = 1
  return {
    async sample() {
      const startMs = performance.now()
      for (let run = 0; run < runs; run++) await network.run()
      if (queued) await network.result()
      const elapsedMs = performance.now() - startMs
      network.release()
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
async function createSubjects(
  graphs: readonly LayerGraph[],
  weights: (key: string, shape: readonly number[]) => Float32Array,
  settings: SubjectSettings,
): Promise<Subjects> {
  const { batch, seed, queued, minSampleMs = queued ? QUEUED_SAMPLE_MS : 0 } = settings
  const random = createRandom(seedState('latency-images', seed))
  const images = (shape: Shape) => Float32Array.from({ length: batch * elementCount(shape) }, () => random.uniform())
  const workbench = createTfjsWorkbench({ batch, weights, images })
  try {
    const all: Subject[] = []
    for (const graph of graphs) all.push(createSubject(await workbench.prepare(graph), queued, minSampleMs))
    return { all, dispose: () => workbench.dispose() }
  } catch (error) {
    await workbench.dispose()
    throw error
  }
}

export { createSubjects }
