// A stand-in for the coordinator behind the status page: the page's real files and headers, and a search that moves when
// it is told to. Its answers are checked against the protocol's schemas, so they cannot drift from what the coordinator
// really sends.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import type { Duplex } from 'node:stream'
import { type Browser, chromium } from 'playwright-core'
import {
  BEARER_PROTOCOL_PREFIX,
  type Metric,
  metricSchema,
  type Phase,
  problemDocument,
  ProblemError,
  problemKinds,
  type SearchStatus,
  type SearchSummary,
  searchConfigSchema,
  searchStatusSchema,
  searchSummarySchema,
  type Unreadable,
  WAKE_UPS_PROTOCOL,
  type WakeUp,
} from '../../protocol/index.ts'
import {
  architectureCosts,
  createRandom,
  createSpace,
  printArchitecture,
  seedState,
  type SpaceRef,
  resolveSpaceConfig,
  fixedParts,
} from '../../search-space/index.ts'
import { mbconvBlocks } from '../fixtures/mbconv-blocks.ts'

const FOLDER = new URL('../../coordinator/dashboard/', import.meta.url)
const contentTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const ADMIN_TOKEN = 'gha_admin+token/for=tests'
const AGENT_TOKEN = 'ghw_agent-token-for-tests'
const SEARCH_ID = 's0123456789ab'
/** A name that would run if it ever became markup. */
const HOSTILE_NAME = '<img src=x onerror="window.hacked=true"><b>box</b>'
const STEPS_PER_TASK = 20
/** Of a WebSocket: a whole message of text, whose length fits the next byte. */
const TEXT_FRAME = 0x81
/** Every how many weight tasks an architecture task, and an evaluation, follow. */
const ARCHITECTURE_EVERY = 1
const EVALUATE_EVERY = 25
const START_MS = Date.UTC(2026, 10, 22, 9, 0)

const browserPath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium'
/** Where there is no Chromium, page tests are skipped, which the last line of `npm test` counts. */
const hasBrowser = existsSync(browserPath)

/** Debian's Chromium, as every browser test of the project starts it. */
function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: browserPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** A search whose state is a function of the weight steps done; `onChange` is called whenever it moves. */
function createSimulatedSearch(onChange: () => void, { space: ref = 'proxyless-mobile' as SpaceRef, steps = 10_000, targetMs = 80 } = {}) {
  const space = createSpace(ref)
  const blocks = mbconvBlocks(ref)
  const noise = createRandom(seedState(7))
  const winners = space.decisions.map(({ options }) => Math.floor(noise.uniform() * options.length))
  const wanted = space.decisions.map(({ options }) => options.map(() => noise.uniform() * 1.5))
  const config = searchConfigSchema.parse({
    name: 'phone net, second try',
    space: ref,
    dataset: { name: 'imagenet-100' },
    latency: { targetMs, table: { name: 'pixel-1' } },
    training: { steps },
  })
  const warmup = steps / 10
  const metrics: Metric[] = []
  let done = 0
  let phase: Phase = 'waiting'
  /** Shown in place of the distribution. */
  let view: SearchStatus['view'] | null = null
  let costs: Pick<SearchStatus, 'bounds' | 'fronts'> = {}
  let past: Pick<SearchStatus, 'snapshots' | 'rollbacks'> = {}
  let setAside: string | null = null

  const latencyOf = (macs: number) => macs / 4.2e6
  const fixedMs = latencyOf(fixedParts(space).reduce((sum, part) => sum + part.macs, 0))

  function alphaAt(step: number): number[][] {
    const moved = Math.max(0, step - warmup) / (steps - warmup)
    return space.decisions.map(({ options }, b) =>
      options.map((_, o) => moved * ((wanted[b]?.[o] ?? 0) + (o === winners[b] ? 1 + (b % 5) : 0))),
    )
  }

  function describe(step: number) {
    const alpha = alphaAt(step)
    const probabilities = alpha.map((row) => {
      const powers = row.map((value) => Math.exp(value))
      const sum = powers.reduce((a, b) => a + b, 0)
      return powers.map((power) => power / sum)
    })
    const perBlock = probabilities.map((row) => -row.reduce((sum, p) => sum + p * Math.log(p), 0))
    const total = perBlock.reduce((a, b) => a + b, 0)
    const start = space.decisions.reduce((sum, { options }) => sum + Math.log(options.length), 0) / space.decisions.length
    const expectedLatencyMs = blocks.reduce(
      (sum, block, b) =>
        sum + block.operations.reduce((inner, operation, o) => inner + (probabilities[b]?.[o] ?? 0) * latencyOf(operation.macs), 0),
      fixedMs,
    )
    return { alpha, probabilities, entropy: { total, mean: total / perBlock.length, perBlock, start }, expectedLatencyMs }
  }

  function record(kind: Metric['kind'], gap: number) {
    const { entropy, expectedLatencyMs } = describe(done)
    const jitter = (noise.uniform() - 0.5) * (kind === 'evaluatePaths' ? 0.05 : 0.4)
    const loss = 0.7 + 1.9 * Math.exp(-done / (steps / 5)) + gap + jitter
    metrics.push(
      metricSchema.parse({
        seq: metrics.length + 1,
        atMs: START_MS + done * 100,
        taskId: metrics.length + 1,
        kind,
        weightSteps: done,
        loss,
        accuracy: Math.min(0.99, Math.max(0.01, 0.92 - 0.3 * loss + jitter / 10)),
        entropy: entropy.mean,
        expectedLatencyMs,
      } satisfies Metric),
    )
  }

  const lastOf = (kind: Metric['kind']) => metrics.findLast((metric) => metric.kind === kind) ?? null

  function status(nowMs: number): SearchStatus {
    const description = describe(done)
    const path = description.probabilities.map((row) => row.indexOf(Math.max(...row)))
    const chosen = blocks.map((block, b) => ({
      block,
      operation: block.operations[path[b] ?? 0],
      probability: description.probabilities[b]?.[path[b] ?? 0] ?? 0,
    }))
    const summary = (kind: Metric['kind']) => ({ loss: lastOf(kind)?.loss ?? null, accuracy: lastOf(kind)?.accuracy ?? null })
    const tasksDone = metrics.length
    const architectureSteps = metrics.filter((metric) => metric.kind === 'gateGradients').length * 4
    const distribution = {
      ...description,
      alphaVersion: architectureSteps,
      weightSteps: { done, total: steps },
      architectureSteps: { done: architectureSteps, skippedBlocks: Math.floor(done / 9) },
    }
    const running = phase === 'searching' || phase === 'warmup'
    const agent = (index: number, name: string, device: string, backend: string, share: number, silentMs: number) => ({
      agentId: `a00000000000${index}`,
      tokenId: 't00000000000a',
      name,
      device,
      backend,
      lanes: 1,
      registeredAtMs: START_MS + index * 1000,
      lastSeenAtMs: nowMs - silentMs,
      imagesPerSecond: running && silentMs < 60_000 ? 640 * share : null,
      idleShare: running ? 0.02 + 0.03 * index : null,
      peakBytes: running ? 31_457_280 : null,
      tasksDone: Math.floor(tasksDone * share),
      duplicates: index % 2,
      refusedPushes: index === 2 ? 3 : 0,
      clipped: name === setAside ? 7 : 0,
      isSetAside: name === setAside,
      steps: Math.floor(done * share),
      bytesSent: Math.floor(done * share) * 210_000,
      bytesReceived: Math.floor(done * share) * 90_000,
      bytesPerStep: done * share >= 1 ? 300_000 : null,
    })
    return searchStatusSchema.parse({
      searchId: SEARCH_ID,
      name: config.name,
      phase,
      createdAtMs: START_MS - 90_000,
      startedAtMs: phase === 'waiting' ? null : START_MS,
      finishedAtMs: phase === 'finished' || phase === 'stopped' ? START_MS + 1000 + done * 100 : null,
      progress: done / steps,
      timeLeftMs: running ? (steps - done) * 97 : null,
      stepsPerSecond: running ? 10.31 : null,
      imagesPerSecond: running ? 659.8 : null,
      bytesPerStep: done > 0 ? 300_000 : null,
      training: summary('trainWeights'),
      architecture: summary('gateGradients'),
      validation: { ...summary('evaluatePaths'), atStep: lastOf('evaluatePaths')?.weightSteps ?? null },
      steps: { done, total: steps, unit: 'steps' },
      ...distribution,
      view: view ?? { kind: 'distribution', ...distribution },
      targetLatencyMs: targetMs,
      constraint: { bound: targetMs, value: description.expectedLatencyMs, isMet: description.expectedLatencyMs <= targetMs },
      best: [],
      ...costs,
      ...past,
      current: {
        encoding: printArchitecture(space, path),
        path,
        blocks: chosen.map(({ block, operation, probability }) => ({
          block: block.name,
          operation: operation?.name ?? '',
          probability,
          latencyMs: latencyOf(operation?.macs ?? 0),
        })),
        latencyMs: chosen.reduce((sum, { operation }) => sum + latencyOf(operation?.macs ?? 0), fixedMs),
        ...architectureCosts(space, path),
      },
      space: resolveSpaceConfig(ref),
      blocks: space.decisions.map(({ name, options }) => ({ name, operations: options.map((option) => option.name) })),
      agents: [
        agent(0, 'attic', 'NVIDIA RTX 4090', 'tensorflow', 0.62, 400),
        agent(1, 'laptop-lena', 'Apple M3 Pro', 'webgpu', 0.24, 2100),
        agent(2, HOSTILE_NAME, 'AMD Ryzen 9 7950X 16-Core Processor', 'wasm', 0.11, 900),
        agent(3, 'old-box', 'Intel Xeon E5-2680 v4', 'wasm', 0.03, 450_000),
      ],
      tasks: {
        created: tasksDone + 9,
        leased: running ? 6 : 0,
        queued: running ? 3 : 0,
        done: tasksDone,
        stale: 2,
        expiredLeases: 5,
        duplicates: 2,
        failed: 1,
        lastFailure: { taskId: 41, kind: 'trainWeights', atMs: START_MS, reason: 'expired', attempts: 5 },
      },
      warnings: running ? [{ kind: 'flat', message: 'the probabilities are still nearly even' }] : [],
      latencyTable: { name: 'pixel-1', version: '9f'.repeat(32), device: 'Pixel 1', runtime: 'TF-Lite 2.14', batch: 1 },
      config,
    } satisfies SearchStatus)
  }

  return {
    status,
    show(other: SearchStatus['view']) {
      view = other
      onChange()
    },
    showCosts(other: typeof costs) {
      costs = other
      onChange()
    },
    showPast(other: typeof past) {
      past = other
    },
    setAside(name: string) {
      setAside = name
    },
    metrics: (after: number, limit: number) => metrics.filter((metric) => metric.seq > after).slice(0, limit),
    summary: (): SearchSummary =>
      searchSummarySchema.parse({
        searchId: SEARCH_ID,
        name: config.name,
        phase,
        space: space.name,
        createdAtMs: START_MS - 90_000,
      } satisfies SearchSummary),
    /** Does `tasks` weight tasks, with the architecture steps and evaluations that belong between them. */
    advance(tasks: number) {
      for (let i = 0; i < tasks && done < steps && phase !== 'paused' && phase !== 'stopped'; i++) {
        done += STEPS_PER_TASK
        record('trainWeights', 0)
        const count = done / STEPS_PER_TASK
        if (done > warmup && count % ARCHITECTURE_EVERY === 0) record('gateGradients', 0.12)
        if (count % EVALUATE_EVERY === 0) record('evaluatePaths', 0.18)
        phase = done >= steps ? 'finished' : done < warmup ? 'warmup' : 'searching'
      }
      onChange()
    },
    setPhase(next: Phase) {
      phase = next
      onChange()
    },
  }
}

/** The headers that Cloudflare would send with every asset: the lines of `_headers` under its pattern. */
function assetHeaders(): Record<string, string> {
  const lines = readFileSync(new URL('_headers', FOLDER), 'utf8').split('\n')
  return Object.fromEntries(
    lines.flatMap((line) =>
      /^\s+[\w-]+:/.test(line) ? [[line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]] : [],
    ),
  )
}

/** Serves the page and one simulated search on loopback. */
async function startDashboardFixture(options: Parameters<typeof createSimulatedSearch>[1] = {}) {
  /** Open sockets for wake-ups. */
  const sockets = new Set<Duplex>()
  let areSocketsRefused = false
  const closeSockets = () => {
    for (const socket of sockets) socket.destroy()
  }
  /** Tells every socket that the status has changed. */
  const wake = () => {
    const message = Buffer.from(JSON.stringify({ kind: 'status' } satisfies WakeUp))
    for (const socket of sockets) socket.write(Buffer.concat([Buffer.from([TEXT_FRAME, message.length]), message]))
  }
  const search = createSimulatedSearch(wake, options)
  const headers = assetHeaders()
  const requests: string[] = []
  let searches = [search.summary]
  let unreadable: Unreadable[] = []
  let mode: 'up' | 'cut' | 'overloaded' = 'up'
  let lastStatus: SearchStatus | null = null

  function answer(method: string, url: URL, authorization: string): unknown {
    const role = authorization === `Bearer ${ADMIN_TOKEN}` ? 'admin' : authorization === `Bearer ${AGENT_TOKEN}` ? 'agent' : null
    if (mode === 'overloaded') throw new ProblemError('overloaded', 'the search has too many requests at once')
    if (!role) throw new ProblemError('unauthorized', 'this token is not known here; ask for another')
    if (url.pathname === '/v1/searches') {
      if (role !== 'admin') throw new ProblemError('forbidden', 'listing searches takes an admin token')
      return { searches: searches.map((each) => each()), unreadable }
    }
    const [, searchId, rest] = /^\/v1\/searches\/([^/]+)(?:\/(\w+))?$/.exec(url.pathname) ?? []
    if (searchId !== SEARCH_ID) throw new ProblemError('not-found', `there is no search ${searchId}`)
    if (method === 'POST') {
      if (role !== 'admin') throw new ProblemError('forbidden', 'this takes an admin token')
      search.setPhase(rest === 'pause' ? 'paused' : rest === 'resume' ? 'searching' : 'stopped')
      return {}
    }
    if (rest === 'metrics') return { metrics: search.metrics(Number(url.searchParams.get('after')), Number(url.searchParams.get('limit'))) }
    lastStatus = search.status(Date.now())
    return lastStatus
  }

  async function serve(request: IncomingMessage, response: ServerResponse) {
    const url = new URL(request.url ?? '/', 'http://loopback')
    if (url.pathname.startsWith('/v1/')) {
      requests.push(`${request.method} ${url.pathname}${url.search}`)
      if (mode === 'cut') return request.socket.destroy()
      try {
        const body = answer(request.method ?? 'GET', url, request.headers.authorization ?? '')
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error
        response
          .writeHead(problemKinds[error.code].status, { 'content-type': 'application/problem+json' })
          .end(JSON.stringify(problemDocument(error.code, error.message, error.errors)))
      }
      return
    }
    const name = url.pathname === '/' ? 'index.html' : url.pathname.slice(1)
    const type = contentTypes[extname(name)]
    const content = type && !name.includes('/') ? await readFile(new URL(name, FOLDER)).catch(() => null) : null
    if (!type || !content) return response.writeHead(404).end()
    response.writeHead(200, { ...headers, 'content-type': type }).end(content)
  }

  function upgrade(request: IncomingMessage, socket: Duplex) {
    const [, searchId] = /^\/v1\/searches\/([^/]+)\/wake-ups$/.exec(request.url ?? '') ?? []
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(', ')
    const tokens = [ADMIN_TOKEN, AGENT_TOKEN].map((token) => BEARER_PROTOCOL_PREFIX + Buffer.from(token).toString('base64url'))
    if (mode !== 'up' || areSocketsRefused || searchId !== SEARCH_ID || !tokens.some((token) => offered.includes(token)))
      return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    const lines = [
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${accept}`,
      `Sec-WebSocket-Protocol: ${WAKE_UPS_PROTOCOL}`,
    ]
    socket.write(['HTTP/1.1 101 Switching Protocols', ...lines, '', ''].join('\r\n'))
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    // The only thing that a page sends in the time of a test is that it closes.
    socket.on('data', () => socket.end())
  }

  const server = createServer((request, response) => void serve(request, response))
  server.on('upgrade', upgrade)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    search,
    /** Requests to the API so far, oldest first. */
    requests,
    /** The status that the page was given last. */
    lastStatus(): SearchStatus {
      if (!lastStatus) throw new Error('the page has not asked for a status yet')
      return lastStatus
    },
    /** How the coordinator answers: as it should, not at all, or with 503. */
    setMode(next: typeof mode) {
      mode = next
      if (mode !== 'up') closeSockets()
    },
    /** Open sockets for wake-ups. */
    sockets,
    /** From now on, as some proxies do. */
    refuseSockets() {
      areSocketsRefused = true
      closeSockets()
    },
    /** A search that the coordinator cannot read. */
    addUnreadable(entry: Unreadable) {
      unreadable = [...unreadable, entry]
    },
    /** More searches for the list; only the first can be opened. */
    addSummary(summary: Partial<SearchSummary>) {
      searches = [...searches, () => ({ ...search.summary(), ...summary })]
    },
    async close() {
      closeSockets()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
type DashboardFixture = Awaited<ReturnType<typeof startDashboardFixture>>

export {
  ADMIN_TOKEN,
  AGENT_TOKEN,
  browserPath,
  type DashboardFixture,
  hasBrowser,
  HOSTILE_NAME,
  launchBrowser,
  SEARCH_ID,
  startDashboardFixture,
}
