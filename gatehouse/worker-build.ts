// The Worker as `wrangler deploy` would upload it: wrangler bundles and reads wrangler.toml, here as there. Both take
// seconds, so the outcome is kept with a hash of every file that went into it, and used again while all of them are the same.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify, stripVTControlCharacters } from 'node:util'
import * as z from 'zod'
import { CliError } from '../command-line/exit-codes.ts'
import { writeWholeFile } from '../command-line/whole-files.ts'
import { BUILD_TIMEOUT_MS } from './limits.ts'

/** Raised whenever the form below changes, so that no file of another form is read. */
const FORMAT = 2
const CACHE_FOLDER = join('.wrangler', 'gatehouse')

const moduleTypes: Record<string, 'ESModule' | 'CompiledWasm' | 'Text' | 'Data'> = {
  '.js': 'ESModule',
  '.mjs': 'ESModule',
  '.wasm': 'CompiledWasm',
  '.txt': 'Text',
  '.html': 'Text',
  '.sql': 'Text',
  '.bin': 'Data',
}

const builtWorkerSchema = z.object({
  /** Options hold absolute paths, so a copied project has to build anew. */
  configPath: z.string(),
  /** SHA-256 of every file that went into it, by path relative to the configuration's folder; null: there was no such file. */
  inputs: z.record(z.string(), z.string().nullable()),
  /** Miniflare's options, as wrangler derives them from the configuration. */
  workerOptions: z.record(z.string(), z.unknown()),
  /** The entry module comes first. Contents in base64. */
  modules: z.array(z.object({ name: z.string(), type: z.enum(['ESModule', 'CompiledWasm', 'Text', 'Data']), base64: z.string() })).min(1),
})
type BuiltWorker = z.infer<typeof builtWorkerSchema>

/** What is read of esbuild's account of a build. */
const metafileSchema = z.object({ inputs: z.record(z.string(), z.unknown()) })

/** The Worker of a configuration, from the cache if nothing has changed. Throws CliError `failure` with wrangler's words. */
async function buildWorker(configPath: string, log: (line: string) => void): Promise<BuiltWorker> {
  const root = dirname(configPath)
  const cacheFile = join(root, CACHE_FOLDER, `${basename(configPath)}.${FORMAT}.json`)
  const cached = readCache(cacheFile)
  if (cached?.configPath === configPath && Object.entries(cached.inputs).every(([path, hash]) => hashFile(resolve(root, path)) === hash))
    return cached

  log('bundling the coordinator …')
  const outFolder = mkdtempSync(join(tmpdir(), 'gatehouse-build-'))
  try {
    const built = await runWrangler(configPath, outFolder)
    writeWholeFile(cacheFile, JSON.stringify(built))
    return built
  } finally {
    rmSync(outFolder, { recursive: true, force: true })
  }
}

async function runWrangler(configPath: string, outFolder: string): Promise<BuiltWorker> {
  const root = dirname(configPath)
  const metafile = join(outFolder, 'meta.json')
  const optionsFile = join(outFolder, 'options.json')
  const bundleFolder = join(outFolder, 'bundle')
  const wrangler = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js')
  const deploy = [wrangler, 'deploy', '--dry-run', '--config', configPath, '--outdir', bundleFolder, '--metafile', metafile]
  await Promise.all([
    runNode(deploy, root),
    runNode([fileURLToPath(new URL('worker-options.ts', import.meta.url)), configPath, optionsFile], root),
  ])

  const { inputs } = metafileSchema.parse(JSON.parse(readFileSync(metafile, 'utf8')))
  const modules = readdirSync(bundleFolder, { recursive: true, encoding: 'utf8' })
    .flatMap((name) => {
      const type = moduleTypes[extname(name)]
      return type === undefined ? [] : [{ name, type, base64: readFileSync(join(bundleFolder, name)).toString('base64') }]
    })
    .toSorted((a, b) => Number(b.type === 'ESModule') - Number(a.type === 'ESModule'))
  if (modules[0]?.type !== 'ESModule') throw new CliError('failure', `wrangler made no module of ${configPath}`)

  const files = [
    configPath,
    ...Object.keys(inputs)
      .map((path) => resolve(root, path))
      .filter((path) => existsSync(path)),
    // Another wrangler may bundle otherwise; other dependencies may be resolved otherwise.
    wrangler.replace(/bin.wrangler\.js$/, 'package.json'),
    join(root, 'package-lock.json'),
  ]
  return builtWorkerSchema.parse({
    configPath,
    inputs: Object.fromEntries(files.map((path) => [relative(root, path), hashFile(path)])),
    workerOptions: JSON.parse(readFileSync(optionsFile, 'utf8')),
    modules,
  })
}

async function runNode(args: readonly string[], folder: string): Promise<void> {
  // The banner looks for a newer wrangler in the package registry, and metrics go to Cloudflare: neither is wanted here.
  const env = {
    ...process.env,
    WRANGLER_HIDE_BANNER: 'true',
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_WRITE_LOGS: 'false',
    NO_COLOR: '1',
    CI: '1',
  }
  try {
    await promisify(execFile)(process.execPath, [...args], { cwd: folder, env, timeout: BUILD_TIMEOUT_MS, windowsHide: true })
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
    throw new CliError('failure', `the coordinator cannot be built:\n${stripVTControlCharacters(`${stdout}${stderr}`).trim() || message}`)
  }
}

function readCache(file: string): BuiltWorker | null {
  try {
    return builtWorkerSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return null // None yet, or one that a crash has cut off.
  }
}

function hashFile(path: string): string | null {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex')
  } catch {
    return null
  }
}

export { buildWorker, type BuiltWorker }
