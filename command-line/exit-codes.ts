// What a script can tell from the exit code, and the errors that carry one.

import type { FieldError } from '../protocol/index.ts'

const exitCodes = {
  ok: { code: 0, meaning: 'done' },
  failure: { code: 1, meaning: 'unexpected failure, of this tool or of the coordinator' },
  usage: { code: 2, meaning: 'wrong usage, or settings or a file that are not valid' },
  notFound: { code: 3, meaning: 'no such search, table, profile or token' },
  unauthorized: { code: 4, meaning: 'token missing, unknown or not allowed to do this' },
  unreachable: { code: 5, meaning: 'coordinator not reachable, or too busy' },
  conflict: { code: 6, meaning: 'refused in the current state, for example: port or state folder in use' },
  unfinished: { code: 7, meaning: 'search watch: the search was stopped before it finished; train: stopBelow ended it' },
  version: { code: 8, meaning: 'this tool and the coordinator are of versions that do not understand each other' },
  interrupted: { code: 130, meaning: 'interrupted with Ctrl-C' },
} as const
type ExitReason = keyof typeof exitCodes

/** A failure that a person can understand and act on: printed without a stack. */
class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: ExitReason
  /** What is wrong with each field, where the failure is about fields. */
  readonly errors: readonly FieldError[]

  constructor(code: ExitReason, message: string, errors: readonly FieldError[] = []) {
    super(message)
    this.code = code
    this.errors = errors
  }
}

export { CliError, exitCodes, type ExitReason }
