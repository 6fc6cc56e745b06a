// The embedded default: TensorFlow.js on WebAssembly with our SIMD training kernels. One thread each: agents scale by
// threads of their own (docs/performance.md has the comparison), and the threaded build would need shared memory.

import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'

import * as tf from '@tensorflow/tfjs-core'

import { loadKernels, type KernelVariant } from '../kernels/module.ts'
import { registerWasmKernels, type WasmBackend } from '../kernels/wasm.ts'
import type { OpenResult } from './backend.ts'
import { OutOfMemoryError } from './memory-error.ts'

const MEBIBYTE = 1024 * 1024

const variantNames = {
  simd: 'SIMD',
  'relaxed-simd': 'SIMD with fused multiply-add',
} as const satisfies Record<KernelVariant, string>

/** Set once the kernels are registered: they belong to one instance of the backend, which lives as long as the process. */
let registered: KernelVariant | undefined

/**
 * A failed allocation gives address 0, where TensorFlow.js would go on and write. Thrown instead, before anything is
 * touched, the memory stays usable: the step's tensors are freed, and the next may fit.
 */
function refuseFailedAllocations({ wasm }: WasmBackend): void {
  // The first call puts the real function in place of one that looks it up, and would undo what is done here.
  wasm._free(wasm._malloc(1))
  const allocate = wasm._malloc
  wasm._malloc = (bytes) => {
    const address = allocate(bytes)
    if (address === 0 && bytes > 0) {
      const held = wasm.asm.memory.buffer.byteLength / MEBIBYTE
      throw new OutOfMemoryError(`no room for ${bytes} bytes: WebAssembly memory is out of memory at ${Math.round(held)} MiB`)
    }
    return address
  }
}

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
    refuseFailedAllocations(backend)
    const module = await loadKernels(backend.wasm.asm.memory)
    registerWasmKernels(backend, module)
    registered = module.variant
  }
  const description = `tfjs wasm ${wasm.version_wasm}, ${variantNames[registered]}, 1 thread`
  return { kind: 'open', backend: { name: 'wasm', description, readsSynchronously: true } }
}

export { openWasm }
