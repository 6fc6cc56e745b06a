// What a runtime is to the profiler: something that prepares networks and runs them, one run at a time.

import type { LatencyTable } from '../../table/table.ts'
import type { Workbench, WorkbenchOptions } from '../workbench.ts'

const runtimeNames = ['tfjs-wasm', 'tfjs-webgpu', 'tfjs-tensorflow', 'tfjs-cpu', 'onnxruntime'] as const
type RuntimeName = (typeof runtimeNames)[number]

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

export { type Runtime, type RuntimeName, runtimeNames, type RuntimeOptions, RuntimeUnavailableError }
