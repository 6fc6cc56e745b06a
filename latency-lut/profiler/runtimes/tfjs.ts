// TensorFlow.js: the backends that agents train on, with their fused operations for inference.

import * as tf from '@tensorflow/tfjs-core'
import { createTfjsWorkbench } from '../tfjs/workbench.ts'
import { runsInThread } from '../../../engine/backends/backend.ts'
import { type Backend, type BackendName, BackendUnavailableError, openBackend } from '../../../engine/backends/backends.ts'
import { type Runtime, type RuntimeOptions, RuntimeUnavailableError } from './runtime.ts'

/** Makes a backend the active one. Throws RuntimeUnavailableError where it cannot be opened. */
async function openTfjs(backendName: BackendName, { threads = 1, provider }: RuntimeOptions): Promise<Runtime> {
  const name = `tfjs-${backendName}` as const
  if (provider !== undefined) throw new RuntimeUnavailableError(`--provider is for onnxruntime; ${name} has none`)
  if (threads !== 1) throw new RuntimeUnavailableError(`${name} runs on one thread; onnxruntime can use more`)
  let backend: Backend
  try {
    backend = (await openBackend(backendName)).chosen
  } catch (error) {
    if (error instanceof BackendUnavailableError) {
      const reasons = error.rejected.map(({ reason }) => reason).join('; ')
      throw new RuntimeUnavailableError(`${name} is not available on this machine: ${reasons}`)
    }
    if (error instanceof Error && 'code' in error && error.code === 'kernels-missing') throw new RuntimeUnavailableError(error.message)
    throw error
  }
  const isImmediate = runsInThread(backend)
  return {
    name,
    description: backend.description,
    recorded: { name, version: tf.version_core, ...(isImmediate ? { threads } : {}) },
    // Only the backend knows which accelerator it runs on.
    accelerator: isImmediate ? null : backend.description,
    isQueued: !isImmediate,
    runsInCaller: isImmediate,
    measures: 'alone',
    setUp: createTfjsWorkbench,
  }
}

export { openTfjs }
