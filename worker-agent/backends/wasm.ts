// The embedded default: TensorFlow.js on WebAssembly with our SIMD training kernels. One thread: agents scale by
// processes, and the threaded build would need shared memory.

import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'

import * as tf from '@tensorflow/tfjs-core'

import { loadKernels, type KernelVariant } from '../kernels/module.ts'
import { registerWasmKernels, type WasmBackend } from '../kernels/wasm.ts'
import type { OpenResult } from './backend.ts'

const variantNames = {
  simd: 'SIMD',
  'relaxed-simd': 'SIMD with fused multiply-add',
} as const satisfies Record<KernelVariant, string>

/** Set once the kernels are registered: they belong to one instance of the backend, which lives as long as the process. */
let registered: KernelVariant | undefined

/** Throws KernelsMissingError if the kernels have not been compiled: that is a broken installation, not a lesser machine. */
async function openWasm(): Promise<OpenResult> {
  // Imported first: the package defines the flags that are asked for below.
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'))) {
    return { kind: 'unavailable', reason: 'this engine has no WebAssembly SIMD' }
  }
  const require = createRequire(import.meta.url)
  const folder = dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'))
  wasm.setWasmPaths(join(folder, 'dist') + sep)
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  wasm.setThreadsCount(1)
  tf.enableProdMode()
  await tf.setBackend('wasm')
  if (!registered) {
    const backend = tf.backend() as unknown as WasmBackend
    const module = await loadKernels(backend.wasm.asm.memory)
    registerWasmKernels(backend, module)
    registered = module.variant
  }
  const description = `tfjs wasm ${wasm.version_wasm}, ${variantNames[registered]}, 1 thread`
  return { kind: 'open', backend: { name: 'wasm', description, readsSynchronously: true } }
}

export { openWasm }
