// Loads the compiled SIMD kernels into TensorFlow.js's own WebAssembly memory, so that they work on its tensors in place.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** `relaxed-simd` needs an engine with fused multiply-add (Node 22 has it); `simd` runs everywhere. */
type KernelVariant = 'simd' | 'relaxed-simd'

/** x, ih, iw, channels, oh, ow ...: see assembly/convolution.ts and assembly/depthwise.ts. Pointers are byte offsets. */
type NumericFunction = (...values: number[]) => number

type KernelModule = {
  readonly variant: KernelVariant
  readonly channelStatistics: NumericFunction
  readonly normalise: NumericFunction
  readonly normaliseGradient: NumericFunction
  readonly prepareNorm: NumericFunction
  readonly finishStatistics: NumericFunction
  readonly finishGradient: NumericFunction
  readonly convolutionScratchBytes: NumericFunction
  readonly convolve: NumericFunction
  readonly convolveGradient: NumericFunction
  readonly depthwiseScratchBytes: NumericFunction
  readonly depthwise: NumericFunction
  readonly depthwiseGradient: NumericFunction
  readonly averagePositions: NumericFunction
  readonly averagePositionsGradient: NumericFunction
  readonly dot: NumericFunction
  readonly maxPoolGradient: NumericFunction
  readonly relu6Gradient: NumericFunction
  readonly sgdStep: NumericFunction
  readonly sum: NumericFunction
}

/** The kernels were not compiled. */
class KernelsMissingError extends Error {
  readonly code = 'kernels-missing'
}

function kernelModulePath(variant: KernelVariant): string {
  return fileURLToPath(new URL(`../../dist/kernels/${variant}.wasm`, import.meta.url))
}

async function readModule(variant: KernelVariant): Promise<Uint8Array<ArrayBuffer>> {
  const path = kernelModulePath(variant)
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    const advice = 'compile them with `node engine/kernels/build.ts`'
    throw new KernelsMissingError(`the training kernels are missing (${path}): ${advice}`, { cause })
  }
}

/** Instantiates the fastest variant that this engine accepts, on `memory`. */
async function loadKernels(memory: WebAssembly.Memory, only?: KernelVariant): Promise<KernelModule> {
  const relaxed = await readModule('relaxed-simd')
  const preferred = only ?? (WebAssembly.validate(relaxed) ? 'relaxed-simd' : 'simd')
  const bytes = preferred === 'relaxed-simd' ? relaxed : await readModule('simd')
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } })
  return { variant: preferred, ...(instance.exports as unknown as Omit<KernelModule, 'variant'>) }
}

export { kernelModulePath, type KernelModule, type KernelVariant, loadKernels }
