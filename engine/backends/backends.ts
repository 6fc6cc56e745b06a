// Opens the TensorFlow.js backend that training and measuring run on. TensorFlow.js keeps one active backend per
// process: opening one makes it the active one, and tensors of another must not be mixed in.

import type { Backend, BackendName, BackendOptions, OpenResult, Rejection } from './backend.ts'
import { openCpu } from './cpu.ts'
import { openTensorflow } from './tensorflow.ts'
import { openWasm } from './wasm.ts'
import { openWebgpu } from './webgpu.ts'

/** Best first: the order in which `auto` tries them. */
const backendNames = ['tensorflow', 'webgpu', 'wasm', 'cpu'] as const satisfies readonly BackendName[]

type OpenedBackend = {
  readonly chosen: Backend
  /** Better ones that were tried first, and why each was not available. */
  readonly rejected: readonly Rejection[]
}

/** A named backend that cannot be opened here; `rejected` says why. */
class BackendUnavailableError extends Error {
  readonly code = 'backend-unavailable'
  readonly rejected: readonly Rejection[]
  constructor(rejected: readonly Rejection[]) {
    const reasons = rejected.map(({ name, reason }) => `${name}: ${reason}`).join('; ')
    super(`no training backend could be opened (${reasons}); choose another with --backend`)
    this.rejected = rejected
  }
}

const openers = {
  tensorflow: openTensorflow,
  webgpu: openWebgpu,
  wasm: openWasm,
  cpu: openCpu,
} satisfies Record<BackendName, (options: BackendOptions) => Promise<OpenResult>>

/** Opens one backend by name, or with `auto` the best one that works. Throws BackendUnavailableError if none does. */
async function openBackend(wanted: BackendName | 'auto', options: BackendOptions = {}): Promise<OpenedBackend> {
  const rejected: Rejection[] = []
  for (const name of wanted === 'auto' ? backendNames : [wanted]) {
    const onGpu = name === 'tensorflow' || name === 'webgpu'
    const result: OpenResult =
      options.device !== undefined && !onGpu
        ? { kind: 'unavailable', reason: `it computes on the processor, and GPU ${options.device} was asked for` }
        : await openers[name]({ ...options, needsGpu: options.needsGpu ?? (wanted === 'auto' || options.device !== undefined) })
    if (result.kind === 'open') return { chosen: result.backend, rejected }
    rejected.push({ name, reason: result.reason })
  }
  throw new BackendUnavailableError(rejected)
}

export type { Backend, BackendName, BackendOptions, Rejection } from './backend.ts'
export { BackendUnavailableError, backendNames, openBackend, type OpenedBackend }
