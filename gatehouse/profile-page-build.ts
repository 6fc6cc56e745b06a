// Builds the page that measures in a browser into the folder of the status page's files: our TypeScript with the parts of
// TensorFlow.js that it uses, one chunk per backend, its WebAssembly, and the QR codes of the status page. Run by
// `npm run prepare`; skips when nothing has changed.

import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const sourceFolder = join(root, 'coordinator', 'profile-page')
const outputFolder = join(root, 'coordinator', 'dashboard', 'profile')
/** Beside the other built things, so that it is not served. */
const recordFile = join(root, 'dist', 'profile-page.json')
const staticFiles = ['index.html', 'page.css']
const wasmFiles = ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm']

type BuildOptions = {
  readonly absWorkingDir: string
  readonly entryPoints: readonly string[]
  readonly outdir: string
  readonly [option: string]: unknown
}
/** What is used of esbuild. */
type Esbuild = { build(options: BuildOptions): Promise<{ metafile: { inputs: Record<string, unknown> } }> }

/** The esbuild that wrangler bundles the Worker with: no other one is needed. */
function loadEsbuild(): Esbuild {
  const require = createRequire(import.meta.url)
  return createRequire(require.resolve('wrangler/package.json'))('esbuild') as Esbuild
}

const hashFile = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

/** Whether every file that went into the last build is as it was, and what came out is there. */
function isCurrent(): boolean {
  try {
    const record = JSON.parse(readFileSync(recordFile, 'utf8')) as { inputs: Record<string, string>; outputs: string[] }
    const outputs = new Set(readdirSync(outputFolder, { recursive: true, encoding: 'utf8' }))
    return (
      record.outputs.every((name) => outputs.has(name)) &&
      Object.entries(record.inputs).every(([path, hash]) => hashFile(join(root, path)) === hash)
    )
  } catch {
    return false
  }
}

async function buildProfilePage(): Promise<void> {
  if (isCurrent()) return
  rmSync(outputFolder, { recursive: true, force: true })
  const { metafile } = await loadEsbuild().build({
    absWorkingDir: root,
    entryPoints: [join(sourceFolder, 'main.ts'), join(sourceFolder, 'qr-code.ts')],
    outdir: outputFolder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    chunkNames: 'chunk-[hash]',
    metafile: true,
    logLevel: 'silent',
  })
  for (const name of staticFiles) copyFileSync(join(sourceFolder, name), join(outputFolder, name))
  const wasmSource = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist')
  mkdirSync(join(outputFolder, 'wasm'), { recursive: true })
  for (const name of wasmFiles) copyFileSync(join(wasmSource, name), join(outputFolder, 'wasm', name))

  const inputs = [
    ...Object.keys(metafile.inputs).filter((path) => !path.includes(':')),
    ...staticFiles.map((name) => relative(root, join(sourceFolder, name))),
    relative(root, fileURLToPath(import.meta.url)),
    'package-lock.json',
  ]
  const record = {
    inputs: Object.fromEntries(inputs.map((path) => [path, hashFile(join(root, path))])),
    outputs: readdirSync(outputFolder, { recursive: true, encoding: 'utf8' }),
  }
  mkdirSync(dirname(recordFile), { recursive: true })
  writeFileSync(recordFile, JSON.stringify(record))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildProfilePage()

export { buildProfilePage }
