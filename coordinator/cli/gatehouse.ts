// The whole command, and what becomes of its errors. Everything of the process comes in as a terminal.

import { stripVTControlCharacters } from 'node:util'
import { type CommandDef, defineCommand } from 'citty'
import { dispatch } from './dispatch.ts'
import { CliError, exitCodes, type ExitReason } from './exit-codes.ts'
import { createSearchCommands } from './search-commands.ts'
import { createTableCommands } from './table-commands.ts'
import type { Terminal } from './terminal.ts'
import { createUpCommand } from './up-command.ts'

/** A table that lacks a hundred entries is the same news as one that lacks ten. */
const MAX_LISTED_FIELDS = 10

function createGatehouse(terminal: Terminal, version: string): CommandDef {
  return defineCommand({
    meta: { name: 'gatehouse', version, description: 'Neural architecture search on your own data for your own hardware.' },
    subCommands: { up: createUpCommand(terminal), search: createSearchCommands(terminal), table: createTableCommands(terminal) },
  }) as CommandDef
}

/** Runs one command line. Returns its exit code; never throws. */
async function runGatehouse(terminal: Terminal, version: string, rawArgs: readonly string[]): Promise<number> {
  try {
    const text = await dispatch(createGatehouse(terminal, version), rawArgs, terminal.columns())
    if (text !== null) terminal.write(`${text}\n`)
    return exitCodes.ok.code
  } catch (error) {
    if (error === terminal.interrupted.reason && terminal.interrupted.aborted) return exitCodes.interrupted.code
    const reason = report(terminal, error)
    // What fails under Ctrl-C most often fails because of it.
    return exitCodes[terminal.interrupted.aborted ? 'interrupted' : reason].code
  }
}

/** Says what went wrong. A stack is only for what nobody expected. */
function report(terminal: Terminal, error: unknown): ExitReason {
  if (error instanceof CliError) {
    terminal.note(`gatehouse: ${error.message}`)
    for (const { path, message } of error.errors.slice(0, MAX_LISTED_FIELDS)) terminal.note(`  ${path === '' ? '' : `${path}: `}${message}`)
    if (error.errors.length > MAX_LISTED_FIELDS) terminal.note(`  and ${error.errors.length - MAX_LISTED_FIELDS} more`)
    return error.code
  }
  // citty's own errors: a missing argument, or a value that is none of the options.
  if (error instanceof Error && error.name === 'CLIError') {
    terminal.note(`gatehouse: ${stripVTControlCharacters(error.message)}`)
    return 'usage'
  }
  terminal.note(`gatehouse: unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 'failure'
}

export { runGatehouse }
