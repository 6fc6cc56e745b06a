// Real processes on loopback: a coordinator in workerd, agents, and a small dataset and latency table for them.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type CoordinatorClient, createClient } from '../../command-line/coordinator-client.ts'
import { type LogEntry, logEntrySchema, type SearchConfigInput, type SearchStatus } from '../../protocol/index.ts'
import type { LatencyTable } from '../../latency-lut/table/table.ts'
import { createRandom, createSpace, seedState, type SpaceRef } from '../../search-space/index.ts'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const START_TIMEOUT_MS = 60_000
const POLL_MS = 100
const LOG_PAGE = 1000

/** The class is a place in the image, which mirroring would change. */
const NO_AUGMENTATION = { flip: false, shift: 0 }

/** Three blocks at 8×8: steps of a few milliseconds. */
const TINY_SPACE = {
  name: 'tiny',
  input: [8, 8, 1],
  widthMult: 1,
  batchNormEpsilon: 1e-3,
  classes: 4,
  stem: { width: 8, stride: 1 },
  firstBlock: null,
  stages: [
    { width: 8, cells: 2, stride: 1 },
    { width: 16, cells: 1, stride: 2 },
  ],
  kernels: [3, 5],
  expansions: [2],
  zero: true,
  headWidth: 16,
} satisfies SpaceRef

/** A folder that is gone after the test. */
function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** IDX files of images whose bright quadrant is their class, with noise. */
function writeTinyDataset(folder: string, seed = 1): string {
  const random = createRandom(seedState('tiny dataset', seed))
  for (const [name, count] of [
    ['train', 1200],
    ['t10k', 100],
  ] as const) {
    const images = new Uint8Array(count * 64)
    const labels = new Uint8Array(count)
    for (let i = 0; i < count; i++) {
      const label = random.integer(4)
      labels[i] = label
      for (let y = 0; y < 8; y++) {
        for (let x = 0; x < 8; x++) {
          const inside = (y < 4 ? 0 : 2) + (x < 4 ? 0 : 1) === label
          images[i * 64 + y * 8 + x] = random.integer(120) + (inside ? 80 : 0)
        }
      }
    }
    writeFileSync(join(folder, `${name}-images-idx3-ubyte`), encodeIdxImages({ count, shape: [8, 8, 1], images }))
    writeFileSync(join(folder, `${name}-labels-idx1-ubyte`), encodeIdxLabels(labels))
  }
  return folder
}

/** A table that covers the tiny space: latency grows with the multiply-accumulates. */
function tinyTable(space: SpaceRef = TINY_SPACE): LatencyTable {
  const operations = createSpace(space).measurableOperations()
  const entries = Object.fromEntries(
    operations.map(({ latencyKey, macs }) => [latencyKey, { meanMs: 1 + macs / 20_000, stdMs: 0.1, count: 5 }]),
  )
  return { name: 'tiny', device: { name: 'test' }, runtime: { name: 'test' }, batch: 1, inputShape: [8, 8, 1], fixedMs: 0, entries }
}

/** Settings of a search on the tiny space; `changes` go on top. */
function tinySearch(changes: Partial<SearchConfigInput> = {}): SearchConfigInput {
  return {
    name: 'test',
    space: TINY_SPACE,
    dataset: { name: 'tiny' },
    latency: { targetMs: 6, table: { name: 'tiny' }, loss: { kind: 'add#linear' } },
    seed: 7,
    strategy: { name: 'proxyless-g', warmupSteps: 40, archEvery: 5, evaluateEvery: 200, evaluateImages: 64 },
    training: { steps: 400, batchSize: 16, augmentation: NO_AUGMENTATION },
    tasks: { weightSteps: 20, architectureSteps: 4, leaseMs: 3000 },
    ...changes,
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  return typeof address === 'object' && address ? address.port : 0
}

/** `output` is everything that it wrote, `result` the last line of standard output. */
type Process = { readonly child: ChildProcess; output(): string; result(): string; readonly ended: Promise<number | NodeJS.Signals> }

function startProcess(script: string, args: readonly string[], env: Record<string, string> = {}): Process {
  // A group of its own, so that it can be killed with everything that it started.
  const child = spawn(process.execPath, [join(root, script), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  let standardOutput = ''
  child.stdout.on('data', (chunk: Buffer) => (standardOutput += chunk.toString()))
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return {
    child,
    output: () => output,
    result: () => standardOutput.trimEnd().split('\n').at(-1) ?? '',
    ended: new Promise((done) => child.once('close', (code, signal) => done(signal ?? code ?? 1))),
  }
}

/** SIGKILL to a process and everything in its group: nothing is flushed, nobody says goodbye. */
function killGroup({ child }: Process): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

type Coordinator = {
  readonly url: string
  readonly client: CoordinatorClient
  readonly token: string
  readonly process: Process
  stop(): Promise<void>
}

/** `gatehouse up`, or another command that takes the same flags, as a process of its own. */
async function startCoordinator(
  stateFolder: string,
  port: number,
  [script, ...words]: readonly [string, ...string[]] = ['gatehouse/main.ts', 'up'],
): Promise<Coordinator> {
  const process = startProcess(script, [...words, '--port', String(port), '--state', stateFolder])
  const url = `http://127.0.0.1:${port}`
  await waitFor(async () => {
    if (process.child.exitCode !== null) throw new Error(`the coordinator ended: ${process.output()}`)
    return (await fetch(`${url}/health`).catch(() => null))?.ok === true
  }, 'the coordinator to answer')
  const token = readFileSync(join(stateFolder, 'admin-token'), 'utf8').trim()
  const stop = async () => {
    process.child.kill('SIGTERM')
    await process.ended
  }
  return { url, client: createClient({ url, token }), token, process, stop }
}

function startAgent(coordinator: { url: string }, token: string, data: string, more: readonly string[] = []): Process {
  return startProcess(
    'worker-agent/cli/main.ts',
    [
      '--data',
      data,
      '--cache',
      join(data, 'cache'),
      '--backend',
      'wasm',
      '--json',
      ...(more.includes('--concurrency') ? [] : ['--concurrency', '1']),
      ...more,
    ],
    {
      GATEHOUSE_COORDINATOR: coordinator.url,
      GATEHOUSE_AGENT_TOKEN: token,
    },
  )
}

/** Waits until `condition` holds; throws, naming what was waited for, after `timeoutMs`. */
async function waitFor(condition: () => Promise<boolean>, what: string, timeoutMs = START_TIMEOUT_MS): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await sleep(POLL_MS)
  }
}

/** Waits until a process has written `text`; throws what it has written where it ends before, or after `timeoutMs`. */
async function waitForOutput({ child, output }: Process, text: string, timeoutMs = START_TIMEOUT_MS): Promise<void> {
  await waitFor(
    async () => {
      if (output().includes(text)) return true
      if (child.exitCode !== null) throw new Error(`ended without "${text}": ${output()}`)
      return false
    },
    `"${text}"`,
    timeoutMs,
  )
}

async function waitForPhase(
  client: CoordinatorClient,
  searchId: string,
  phase: SearchStatus['phase'],
  timeoutMs = 120_000,
): Promise<SearchStatus> {
  await waitFor(async () => (await client.searchStatus(searchId)).phase === phase, `phase ${phase}`, timeoutMs)
  return client.searchStatus(searchId)
}

/** The whole result log. */
async function readLog(coordinator: { url: string; token: string }, searchId: string): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  for (;;) {
    const after = entries.at(-1)?.seq ?? 0
    const response = await fetch(`${coordinator.url}/v1/searches/${searchId}/log?after=${after}&limit=${LOG_PAGE}`, {
      headers: { Authorization: `Bearer ${coordinator.token}` },
    })
    if (!response.ok) throw new Error(`log: ${response.status} ${await response.text()}`)
    const page = ((await response.json()) as { entries: unknown[] }).entries.map((entry) => logEntrySchema.parse(entry))
    entries.push(...page)
    if (page.length < LOG_PAGE) return entries
  }
}

export {
  type Coordinator,
  freePort,
  killGroup,
  NO_AUGMENTATION,
  type Process,
  readLog,
  startAgent,
  startCoordinator,
  startProcess,
  temporaryFolder,
  TINY_SPACE,
  tinySearch,
  tinyTable,
  waitFor,
  waitForOutput,
  waitForPhase,
  writeTinyDataset,
}
