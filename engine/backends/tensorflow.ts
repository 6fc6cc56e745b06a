// TensorFlow's own C++ runtime: `@tensorflow/tfjs-node-gpu` (CUDA 11.2, cuDNN 8.1), otherwise `@tensorflow/tfjs-node`.
// Neither comes by itself: they fetch a native library when installed, which serves few machines. One without them goes on with
// another backend, and `worker-agent doctor` says how to get them.

import { createRequire } from 'node:module'

import * as tf from '@tensorflow/tfjs-core'

import { registerComposedKernels } from '../kernels/composed.ts'
import type { BackendOptions, OpenResult } from './backend.ts'

const packageNames = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const

/** tfjs-node 4.22 calls functions of node:util that Node 23 removed. */
function restoreRemovedUtilities(): void {
  // The live CommonJS object: the ES module namespace of node:util cannot be extended.
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined
  util['isArray'] ??= Array.isArray
  util['isString'] ??= (value: unknown) => typeof value === 'string'
  util['isNumber'] ??= (value: unknown) => typeof value === 'number'
  util['isBoolean'] ??= (value: unknown) => typeof value === 'boolean'
  util['isUndefined'] ??= (value: unknown) => value === undefined
  util['isObject'] ??= (value: unknown) => value !== null && typeof value === 'object'
  util['isFunction'] ??= (value: unknown) => typeof value === 'function'
}

/** Why a package could not be used, in one line. */
function reasonOf(packageName: string, error: unknown): string {
  const { code, message } = error as { code?: string; message?: string }
  const isAbsent = code === 'ERR_MODULE_NOT_FOUND' && message?.includes(`'${packageName}'`)
  if (isAbsent) return `${packageName} is not installed`
  const wants = packageName.endsWith('-gpu') ? ' (its native library wants CUDA 11.2 and cuDNN 8.1)' : ''
  return `${packageName}: ${message?.split('\n', 1)[0]}${wants}`
}

/** TensorFlow sees the GPUs that this variable names, when it is loaded. */
const VISIBLE_DEVICES = 'CUDA_VISIBLE_DEVICES'

/** Without its CUDA libraries tfjs-node-gpu computes on the processor, and says nothing. */
function usesGpu(): boolean {
  return (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true
}

async function openTensorflow({ device, needsGpu = false }: BackendOptions = {}): Promise<OpenResult> {
  restoreRemovedUtilities()
  if (device !== undefined) process.env[VISIBLE_DEVICES] = String(device)
  const reasons: string[] = []
  for (const packageName of packageNames) {
    try {
      // A computed name: the package may be absent, and so may its types.
      const module: { version?: { 'tfjs-node'?: string } } = await import(packageName as string)
      await tf.setBackend('tensorflow')
      const isOnGpu = usesGpu()
      if (needsGpu && !isOnGpu) {
        reasons.push(`${packageName} finds no GPU here (it wants CUDA 11.2 and cuDNN 8.1), and other backends use the processor better`)
        continue
      }
      registerComposedKernels('tensorflow')
      const version = module.version?.['tfjs-node'] ?? '4.22'
      const description = `${packageName} ${version}, TensorFlow C++ runtime on ${isOnGpu ? 'a GPU' : 'the processor'}`
      return {
        kind: 'open',
        backend: { name: 'tensorflow', description, readsSynchronously: true },
      }
    } catch (error) {
      reasons.push(reasonOf(packageName, error))
    }
  }
  return { kind: 'unavailable', reason: reasons.join('; ') }
}

export { openTensorflow }
