// What measuring sees of a runtime, in Node and in browsers: something that prepares networks and runs them, one run at a time.

import type { LayerGraph, Shape } from '../../search-space/index.ts'

/** A network, or a part of one, that is ready to run on images that it has been given. */
type PreparedNetwork = {
  /** One run. Over once it returns or resolves; where the runtime is queued, only handed to the device by then. */
  run(): void | Promise<void>
  /** What the last run made: [batch, ...the output's shape], row-major, NHWC. Waits until all runs are over. */
  result(): Promise<Float32Array>
  /** Gives back what the last run made; a network that runs many times does so after each. */
  release(): void
}

type Workbench = {
  /** Folds batch-norms into convolutions, as deployment does, and compiles or uploads the rest. */
  prepare(graph: LayerGraph): Promise<PreparedNetwork>
  /** Frees every network that was prepared here. */
  dispose(): Promise<void>
}

type WorkbenchOptions = {
  /** Images in one run. */
  readonly batch: number
  /** Values by weight key, row-major, in the shape that the network reads. */
  readonly weights: (key: string, shape: readonly number[]) => Float32Array
  /** A batch of images of a shape: batch × height × width × channels values. */
  readonly images: (shape: Shape) => Float32Array
}

export type { PreparedNetwork, Workbench, WorkbenchOptions }
