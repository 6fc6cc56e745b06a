// Makes the package's contents in dist/package: run by `npm run build:package`, which `npm pack` and `npm publish` start by themselves.
// Node strips types only outside of node_modules, so everything is JavaScript there; kernels, pages and the Worker are built, so that
// nothing is compiled where it is installed.
//
//   dist/package/bin/            the commands, which look for a Node that is new enough
//   dist/package/ROOM/           our modules, in the folders that they have in a clone
//   dist/package/dist/kernels/   the SIMD kernels in both variants
//   dist/package/worker/         the Worker with its pages and wrangler.toml, ready to run and to deploy

import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { allVariants, buildKernels } from '../engine/kernels/build.ts'
import { kernelModulePath } from '../engine/kernels/module.ts'
import { buildProfilePage } from '../gatehouse/profile-page-build.ts'
import packageFile from '../package.json' with { type: 'json' }
import { buildDeclarations, buildModules } from './modules.ts'
import { writeWorker } from './worker.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const outputFolder = join(root, 'dist', 'package')

const commands = {
  gatehouse: 'gatehouse/main.ts',
  'latency-lut': 'latency-lut/profiler/cli/main.ts',
  'worker-agent': 'worker-agent/cli/main.ts',
} as const satisfies Record<keyof typeof packageFile.bin, string>

const LAUNCH = 'command-line/launch.ts'
/** What the rooms that are pure offer to others: `exports` of package.json. */
const offered = ['search-space/index.ts', 'protocol/index.ts', 'latency-lut/table/table.ts'] as const
const PURE_CONFIG = 'tsconfig.pure.json'
/** Bundles the Worker in a clone; in the package it is there. */
const clonesOnly = ['gatehouse/worker-build.ts']

const executable = 0o755

function write(path: string, text: string): void {
  const file = join(outputFolder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function writeModules(): void {
  const { files, packages } = buildModules(root, [...Object.values(commands), LAUNCH, ...offered], clonesOnly)
  const known = new Set(Object.keys({ ...packageFile.dependencies, ...packageFile.peerDependencies }))
  const unknown = [...packages].filter((name) => !known.has(name))
  if (unknown.length > 0) throw new Error(`the package imports what it does not depend on: ${unknown.join(', ')}`)
  for (const [path, code] of files) write(path, code)
  for (const [path, declaration] of buildDeclarations(root, PURE_CONFIG, offered)) write(path, declaration)
  // What our modules read of package.json; it also says that they are modules.
  const { name, version, type, bin } = packageFile
  write('package.json', `${JSON.stringify({ name, version, private: true, type, bin }, null, 2)}\n`)
}

function writeCommands(): void {
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(packageFile.engines.node) ?? []
  if (major === undefined || minor === undefined)
    throw new Error(`expected engines.node to be >=MAJOR.MINOR, got ${packageFile.engines.node}`)
  for (const [name, main] of Object.entries(commands)) {
    const path = `bin/${name}.js`
    const mainUrl = `new URL('../${main.replace(/\.ts$/, '.js')}', import.meta.url)`
    write(
      path,
      `#!/usr/bin/env node\nimport { launch } from '../command-line/launch.js'\n\nawait launch(${mainUrl}, [${major}, ${minor}])\n`,
    )
    chmodSync(join(outputFolder, path), executable)
  }
}

async function copyKernels(): Promise<void> {
  await buildKernels(allVariants)
  const folder = join(outputFolder, 'dist', 'kernels')
  mkdirSync(folder, { recursive: true })
  for (const variant of allVariants) {
    const path = kernelModulePath(variant)
    copyFileSync(path, join(folder, basename(path)))
  }
}

rmSync(outputFolder, { recursive: true, force: true })
writeModules()
writeCommands()
await copyKernels()
await buildProfilePage()
await writeWorker(root, join(outputFolder, 'worker'))
