// Loads the compiled SIMD kernels into TensorFlow.js's own WebAssembly memory, so that they work on its tensors in place.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { bindKernels, type KernelCalls } from './signatures.ts'

/** `relaxed-simd` needs an engine with fused multiply-add, which Node has since 21; `simd` is for others, and for tests. */
type KernelVariant = 'simd' | 'relaxed-simd'

/** A module of one function: `f32x4.relaxed_madd` of three vectors. */
const relaxedProbe = Buffer.from(
  '0061736d01000000' + // magic and version
    '0105016000017b' + // types: () -> v128
    '03020100' + // functions: one, of type 0
    '0a13011100' + // code: one body of 17 bytes without locals
    '4100fd0f'.repeat(3) + // i32.const 0, i8x16.splat
    'fd85020b', // f32x4.relaxed_madd, end
  'hex',
)

/** The fastest variant that this engine accepts: the one that is compiled and loaded. */
function engineVariant(): KernelVariant {
  return WebAssembly.validate(relaxedProbe) ? 'relaxed-simd' : 'simd'
}

/** The kernels, called by the names of their parameters. */
type KernelModule = KernelCalls & { readonly variant: KernelVariant }

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
    const advice = '`npm run prepare` compiles them in a clone, and the package comes with them'
    throw new KernelsMissingError(`the training kernels are missing (${path}): ${advice}`, { cause })
  }
}

/** Instantiates the kernels on `memory`. Throws KernelsMissingError, and KernelSignatureError for kernels of other sources. */
async function loadKernels(memory: WebAssembly.Memory, variant = engineVariant()): Promise<KernelModule> {
  const { instance } = await WebAssembly.instantiate(await readModule(variant), { env: { memory } })
  return { variant, ...bindKernels(instance.exports) }
}

export { engineVariant, kernelModulePath, type KernelModule, type KernelVariant, loadKernels }
