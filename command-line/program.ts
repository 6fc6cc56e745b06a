// A command line as a process: signals, errors, exit code.

import { availableParallelism } from 'node:os'
import { stripVTControlCharacters } from 'node:util'
import type { CommandDef } from 'citty'
import { VERSION } from '../protocol/version.ts'
import { dispatch } from './dispatch.ts'
import { CliError, exitCodes, type ExitReason } from './exit-codes.ts'
import type { Epilogues } from './help.ts'
import { watchNpmParent } from './npm-parent.ts'
import { useProxy } from './proxy.ts'
import { createTerminal, type Terminal } from './terminal.ts'
import { DISK_CODES } from './whole-files.ts'

/** A table that lacks a hundred entries is the same news as one that lacks ten. */
const MAX_LISTED_FIELDS = 10
/** What libuv takes by itself. */
const MIN_POOL_THREADS = 4

/** Runs one command line. Returns its exit code; never throws. */
async function runCommandLine(
  root: CommandDef,
  terminal: Terminal,
  rawArgs: readonly string[],
  epilogues: Epilogues = {},
): Promise<number> {
  const { name } = { name: 'command', ...(root.meta as { name?: string }) }
  try {
    const text = await dispatch(root, rawArgs, terminal.columns(), epilogues)
    if (text !== null) terminal.write(`${text}\n`)
    return exitCodes.ok.code
  } catch (error) {
    return exitCodes[report(name, terminal, error)].code
  }
}

/** Also what Node's own timers make of a signal's reason: an AbortError that has it as its cause. */
function isInterruption({ interrupted }: Terminal, error: unknown): boolean {
  if (!interrupted.aborted) return false
  return error === interrupted.reason || (error instanceof Error && error.name === 'AbortError' && error.cause === interrupted.reason)
}

/** Says what went wrong. A stack is only for what nobody expected. */
function report(name: string, terminal: Terminal, error: unknown): ExitReason {
  if (isInterruption(terminal, error)) return 'interrupted'
  if (error instanceof CliError) {
    terminal.note(`${name}: ${error.message}`)
    for (const { path, message } of error.errors.slice(0, MAX_LISTED_FIELDS)) terminal.note(`  ${path === '' ? '' : `${path}: `}${message}`)
    if (error.errors.length > MAX_LISTED_FIELDS) terminal.note(`  and ${error.errors.length - MAX_LISTED_FIELDS} more`)
    return error.code
  }
  // citty's own errors: a missing argument, or a value that is none of the options.
  if (error instanceof Error && error.name === 'CLIError') {
    terminal.note(`${name}: ${stripVTControlCharacters(error.message)}`)
    return 'usage'
  }
  if (error instanceof Error && DISK_CODES.has((error as NodeJS.ErrnoException).code ?? '')) {
    terminal.note(`${name}: ${error.message}`)
    return 'failure'
  }
  terminal.note(`${name}: unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 'failure'
}

/** Runs this process's command line; Ctrl-C, SIGTERM, SIGHUP and the end of the npm that started it abort the terminal's signal. */
async function runProgram(
  createRoot: (terminal: Terminal, version: string) => CommandDef,
  rawArgs: readonly string[],
  epilogues: Epilogues = {},
): Promise<void> {
  // Images are decoded in libuv's threads; four would hold back a machine whose GPU trains faster. libuv looks at this when
  // it first needs a thread, which no import does.
  process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(MIN_POOL_THREADS, availableParallelism()))
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)))
  const stopWatching = watchNpmParent({
    env: process.env,
    parent: () => process.ppid,
    onGone: () => interrupt.abort(new Error('interrupted: the npm script that started this has ended')),
  })
  // A reader that has seen enough, such as `head`, or that has ended with npm, is no failure.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
  }
  const terminal = createTerminal(process, interrupt.signal)
  const root = createRoot(terminal, VERSION)
  try {
    useProxy()
    process.exitCode = await runCommandLine(root, terminal, rawArgs, epilogues)
  } catch (error) {
    // Of a proxy: a command line throws nothing.
    process.exitCode = exitCodes[report((root.meta as { name?: string }).name ?? 'command', terminal, error)].code
  }
  stopWatching()
}

export { runCommandLine, runProgram }
