// What a runtime is to the profiler: something that prepares networks and runs them, one run at a time.

import type { LayerGraph, Shape } from '../../../search-space/index.ts'
import type { LatencyTable } from '../../table.ts'

const runtimeNames = ['tfjs-wasm', 'tfjs-webgpu', 'tfjs-tensorflow', 'tfjs-cpu', 'onnxruntime'] as const
type RuntimeName = (typeof runtimeNames)[number]

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
  /** Values by weight key, row-major. */
  readonly weights: (key: string) => Float32Array
  /** A batch of images of a shape: batch × height × width × channels values. */
  readonly images: (shape: Shape) => Float32Array
}

type Runtime = {
  readonly name: RuntimeName
  /** For people, e.g. `onnxruntime 1.30.0 on cpu, 1 thread`. */
  readonly description: string
  /** As tables have it. */
  readonly recorded: LatencyTable['runtime']
  /** What computes, where that is not the processor. */
  readonly accelerator: string | null
  /** True where `run` only queues work on a device. */
  readonly isQueued: boolean
  /** True where the thread that calls `run` does all the work. */
  readonly runsInCaller: boolean
  /**
   * `alone`: an operation costs by itself what it costs in a network. `in context`: it does not, because the runtime
   * arranges data at the borders of what it is given; see context.ts.
   */
  readonly measures: 'alone' | 'in context'
  setUp(options: WorkbenchOptions): Workbench
}

/** A runtime that this machine or installation does not have; the message says why. */
class RuntimeUnavailableError extends Error {
  override readonly name = 'RuntimeUnavailableError'
  readonly code = 'runtime-unavailable'
}

type RuntimeOptions = {
  /** Of the processor; runtimes that have one thread only refuse others. Default 1. */
  readonly threads?: number | undefined
  /** Which of onnxruntime's execution providers computes; default `cpu`. */
  readonly provider?: string | undefined
}

export {
  type PreparedNetwork,
  type Runtime,
  type RuntimeName,
  runtimeNames,
  type RuntimeOptions,
  RuntimeUnavailableError,
  type Workbench,
  type WorkbenchOptions,
}
