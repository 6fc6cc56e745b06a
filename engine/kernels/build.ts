// Compiles kernels/assembly to dist/kernels: one module with SIMD, one with relaxed SIMD (fused multiply-add) as well.
// Run by `npm run prepare`, for the variant that this Node loads; the tests compile both. Skips what its sources have made.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { engineVariant, kernelModulePath, type KernelVariant } from './module.ts'

const sourceFolder = join(dirname(fileURLToPath(import.meta.url)), 'assembly')

const variantFlags = {
  simd: ['--enable', 'simd'],
  'relaxed-simd': ['--enable', 'simd', '--enable', 'relaxed-simd'],
} as const satisfies Record<KernelVariant, readonly string[]>

/** Flags of every variant. The stub runtime and imported memory keep the module free of data, heap and stack. */
const commonFlags = [
  '-O3',
  '--noAssert',
  '--importMemory',
  '--runtime',
  'stub',
  // "v128 is not supported by all embeddings": no vector crosses the module's border.
  '--disableWarning',
  '112',
]

/** A hash of all sources and flags: unlike times, it survives checkouts and copies. */
async function sourceHash(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([commonFlags, variantFlags]))
  const names = (await readdir(sourceFolder)).filter((name) => name.endsWith('.ts')).sort()
  for (const name of names) hash.update(name).update(await readFile(join(sourceFolder, name)))
  return hash.digest('hex')
}

async function isCurrent(variant: KernelVariant, hash: string): Promise<boolean> {
  const path = kernelModulePath(variant)
  try {
    await stat(path)
    return (await readFile(`${path}.source`, 'utf8')) === hash
  } catch {
    return false
  }
}

function findCompiler(): string {
  try {
    // The package exports no path to its command line.
    return join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin', 'asc.js')
  } catch (cause) {
    throw new Error(
      'assemblyscript is not installed: a clone needs its development dependencies. Whoever wants the commands only installs the package',
      { cause },
    )
  }
}

async function compile(variant: KernelVariant, hash: string): Promise<void> {
  const path = kernelModulePath(variant)
  const compiler = findCompiler()
  const temporary = `${path}.${process.pid}`
  const flags = [...commonFlags, ...variantFlags[variant], '--outFile', temporary]
  await promisify(execFile)(process.execPath, [compiler, join(sourceFolder, 'index.ts'), ...flags])
  // Renamed in one step, so that a process that starts meanwhile never reads half a module.
  await rename(temporary, path)
  await writeFile(`${path}.source`, hash)
}

const allVariants = Object.keys(variantFlags) as KernelVariant[]

/**
 * Compiles those of `wanted` that are missing or made of other sources. What else was made of other sources is removed:
 * missing kernels are an error that says what to do, old ones would compute something else.
 */
async function buildKernels(wanted: readonly KernelVariant[] = [engineVariant()]): Promise<void> {
  const hash = await sourceHash()
  for (const variant of allVariants) {
    if (await isCurrent(variant, hash)) continue
    const path = kernelModulePath(variant)
    if (wanted.includes(variant)) {
      await mkdir(dirname(path), { recursive: true })
      await compile(variant, hash)
    } else {
      await rm(path, { force: true })
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildKernels()

export { allVariants, buildKernels }
