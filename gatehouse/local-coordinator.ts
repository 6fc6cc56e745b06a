// A coordinator on this machine: the Worker that `wrangler deploy` would upload, in the same runtime (workerd), with its
// objects' SQLite files and its KV on disk. Miniflare configures and starts workerd; none of wrangler's development server
// (proxy, file watcher, reloads) is involved, and nothing goes out to the internet.

import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { existsSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Miniflare, V4WorkerOptions } from 'miniflare'
import { CliError } from '../command-line/exit-codes.ts'
import { isPackage } from '../command-line/installation.ts'
import { FIRST_ANSWER_WAIT_MS, PROCESS_POLL_MS } from './limits.ts'
import { identifyProcess } from '../command-line/process-identity.ts'
import { startWatchdog } from './runtime-watchdog.ts'
import { readShippedWorker, type RunnableWorker } from './shipped-worker.ts'
import { adminToken as keptAdminToken, holdStateFolder, previousAdminToken, type StateFolder } from './state-folder.ts'

const LOOPBACK = '127.0.0.1'
const EXIT_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'message'] as const

type LocalCoordinatorOptions = {
  /** Port to listen on; 0 takes a free one. */
  readonly port: number
  /** Address to listen on. Default 127.0.0.1: nobody but this machine. */
  readonly host?: string
  /** Folder of all state; made if it is not there. One coordinator at a time. */
  readonly stateFolder: string
  /** Default: the one in the state folder, made at the first start. */
  readonly adminToken?: string
  /** A line of JSON for each request, to `log`. Default: only for those that fail. */
  readonly logRequests?: boolean
  /** What the runtime and the Worker say, a line at a time. Default: nowhere. */
  readonly log?: (line: string) => void
  /** The Worker's wrangler configuration. Default: this project's wrangler.toml, or the Worker that came with the package. */
  readonly configPath?: string
}

type LocalCoordinator = {
  /** Origin without a slash at the end, such as `http://127.0.0.1:8787`. */
  readonly url: string
  readonly adminToken: string
  /** Process number of the runtime; another one after a crash, from which it comes back by itself. */
  runtimePid(): number | null
  /** Ends the runtime and gives the state folder back. What was acknowledged is on disk. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Resolves when the Worker answers. Throws CliError `conflict` if the port or the state folder is in use, `failure` if the
 * Worker cannot be built or does not start. Handlers for signals are the caller's.
 */
async function startLocalCoordinator(options: LocalCoordinatorOptions): Promise<LocalCoordinator> {
  const { port, host = LOOPBACK, logRequests = false, log = () => {} } = options
  const state = await holdStateFolder(resolve(options.stateFolder))
  try {
    await assertPortFree(port, host)
    const adminToken = options.adminToken ?? keptAdminToken(state.folder)
    const worker = await loadWorker(options.configPath, log)
    const runtime = await startRuntime({ port, host, adminToken, state, worker, logRequests, log })
    return { url: runtime.url, adminToken, runtimePid: runtime.pid, stop: runtime.stop }
  } catch (error) {
    state.release()
    throw error
  }
}

async function loadWorker(configPath: string | undefined, log: (line: string) => void): Promise<RunnableWorker> {
  if (isPackage && configPath === undefined) return readShippedWorker()
  const { buildWorker } = await import('./worker-build.ts')
  return buildWorker(resolve(configPath ?? fileURLToPath(new URL('../wrangler.toml', import.meta.url))), log)
}

type RuntimeOptions = {
  readonly port: number
  readonly host: string
  readonly adminToken: string
  readonly state: StateFolder
  readonly worker: RunnableWorker
  readonly logRequests: boolean
  readonly log: (line: string) => void
}

async function startRuntime(options: RuntimeOptions): Promise<{ url: string; pid(): number | null; stop(): Promise<void> }> {
  const { port, host, state, log } = options
  const { Miniflare, MiniflareCoreError, convertV4MiniflareOptions, Log, LogLevel } = await import('miniflare')
  let stopping = false
  let runtime: ChildProcess | null = null
  let url: string | null = null
  const watchdog = startWatchdog()

  // Miniflare keeps its child to itself; Node announces every child process of this one.
  const onChild = (message: unknown) => {
    const child = (message as { process: ChildProcess }).process
    child.once('spawn', () => {
      if (!basename(child.spawnfile).startsWith('workerd') || child.pid === undefined || stopping) return
      runtime = child
      watchdog.watch(child.pid)
      state.announce(identifyProcess(child.pid), url ?? `http://${host}:${port}`)
    })
  }
  subscribe('child_process', onChild)

  class LineLog extends Log {
    override log(message: string): void {
      if (!stopping) log(message)
    }
  }

  const persisted = join(state.folder, 'state')
  const isFirstStart = !existsSync(persisted)
  let miniflare: Miniflare | null = null
  const stop = async () => {
    if (stopping) return
    stopping = true
    unsubscribe('child_process', onChild)
    await miniflare?.dispose().catch(() => {}) // It also throws for a start that failed, which has been reported.
    watchdog.dismiss()
    state.release()
  }

  try {
    const foreign = new Map(EXIT_SIGNALS.map((signal) => [signal, new Set(process.listeners(signal as NodeJS.Signals))]))
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        // Miniflare's own entrance is a Worker of its own that logs and renders error pages, and costs more than half of the
        // requests per second. The public port is the Worker's; the entrance gets any port and stays unused.
        host: LOOPBACK,
        port: 0,
        // Otherwise it fetches a sample of request.cf from the internet.
        cf: false,
        telemetry: { enabled: false },
        resourcePersistencePath: persisted,
        log: new LineLog(LogLevel.WARN),
        handleStructuredLogs: ({ message }) => {
          if (!stopping) log(message)
        },
        workers: [workerOptions(options)],
      }),
    )
    // Its handlers end the process at once; ours come first to stop in good order. That for 'exit' stays: it kills workerd.
    for (const [signal, before] of foreign) {
      if (signal === 'exit') continue
      for (const listener of process.listeners(signal as NodeJS.Signals)) if (!before.has(listener)) process.off(signal, listener)
    }
    await miniflare.ready
    url = reachableOrigin(await miniflare.unsafeGetDirectURL())
    if (runtime !== null) state.announce(identifyProcess((runtime as ChildProcess).pid ?? 0), url)
    await waitForAnswer(url)
    return { url, pid: () => (stopping ? null : (runtime?.pid ?? null)), stop }
  } catch (error) {
    await stop()
    // Databases that are empty or half made, and that nobody has written to.
    if (isFirstStart) rmSync(persisted, { recursive: true, force: true })
    if (error instanceof MiniflareCoreError) {
      if (error.code === 'ERR_ADDRESS_IN_USE') throw portInUse(port, host)
      // What SQLite says, whichever of the runtime's files it was.
      if (/SQLITE_FULL|SQLITE_IOERR|No space left on device/.test(error.message)) {
        throw new CliError('failure', `cannot write to the state folder ${state.folder}: its disk is full or broken`)
      }
      throw new CliError('failure', `the Workers runtime did not start: ${error.message}`)
    }
    throw error
  }
}

function workerOptions({ worker, port, host, adminToken, state, logRequests }: RuntimeOptions): V4WorkerOptions {
  const previous = previousAdminToken(state.folder)
  const { bindings, ...rest } = worker.workerOptions
  return {
    ...rest,
    bindings: {
      ...(bindings as Record<string, string>),
      ADMIN_TOKEN: adminToken,
      LOG_REQUESTS: logRequests ? 'all' : 'failures',
      ...(previous !== null && { ADMIN_TOKEN_PREVIOUS: previous }),
    },
    modules: worker.modules.map(({ name, type, base64 }) => ({
      type,
      path: name,
      contents: type === 'ESModule' || type === 'Text' ? Buffer.from(base64, 'base64').toString('utf8') : Buffer.from(base64, 'base64'),
    })),
    unsafeDirectSockets: [{ host, port }],
  }
}

/** Where this machine reaches a socket that listens on every address. */
function reachableOrigin(url: URL): string {
  const every = url.hostname === '0.0.0.0' || url.hostname === '[::]'
  return `${url.protocol}//${every ? LOOPBACK : url.hostname}:${url.port}`
}

/** workerd reports a port in use only after everything else has been made ready. */
async function assertPortFree(port: number, host: string): Promise<void> {
  if (port === 0) return
  const server = createServer()
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen({ port, host, exclusive: true }, done)
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EADDRINUSE') throw portInUse(port, host)
    throw new CliError('usage', `cannot listen on ${host} port ${port}: ${error.message}`)
  })
  await new Promise((done) => server.close(done))
}

function portInUse(port: number, host: string): CliError {
  return new CliError(
    'conflict',
    `port ${port} of ${host} is in use by another program; choose another with --port, or 0 for any that is free`,
  )
}

/** The sockets are open before the Worker has run for the first time. */
async function waitForAnswer(url: string): Promise<void> {
  const deadline = AbortSignal.timeout(FIRST_ANSWER_WAIT_MS)
  for (;;) {
    const response = await fetch(`${url}/health`, { signal: deadline }).catch((error: unknown) => error)
    if (response instanceof Response) {
      if (response.ok) return
      throw new CliError(
        'failure',
        `the coordinator started but its health check failed with status ${response.status}: ${(await response.text()).slice(0, 500)}`,
      )
    }
    if (deadline.aborted) throw new CliError('failure', `the coordinator started but did not answer within ${FIRST_ANSWER_WAIT_MS} ms`)
    await delay(PROCESS_POLL_MS)
  }
}

export { type LocalCoordinator, type LocalCoordinatorOptions, startLocalCoordinator }
