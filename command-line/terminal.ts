// Where a command's words go: results to standard output, everything else to standard error. With --json standard
// output carries one JSON text and nothing besides.

/** Used where the terminal does not say how wide it is. */
const DEFAULT_COLUMNS = 80
const MIN_COLUMNS = 40
/** Text wider than this is hard to read, however wide the terminal is. */
const MAX_COLUMNS = 120
/** The scripts of package.json that are commands for people. */
const COMMAND_SCRIPTS = new Set(['gatehouse', 'worker-agent', 'latency-lut', 'demo', 'proof'])

/** What commands know of the process that they run in; tests pass another. */
type Terminal = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder that relative paths start from. */
  readonly folder: string
  /** True if standard output is a terminal that can be redrawn. */
  readonly isInteractive: boolean
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal
  columns(): number
  rows(): number
  /** Writes to standard output as it is. */
  write(text: string): void
  /** Writes a line to standard error. */
  note(line: string): void
}

/** The result of a command: JSON if that was asked for, otherwise what a person reads. */
function printResult(terminal: Terminal, asJson: boolean, value: unknown, human: () => string): void {
  terminal.write(`${asJson ? JSON.stringify(value) : human()}\n`)
}

function createTerminal(process: NodeJS.Process, interrupted: AbortSignal): Terminal {
  const { env, stdout, stderr } = process
  // npm runs a script in the folder of package.json and says in INIT_CWD where the person was.
  const folder = (COMMAND_SCRIPTS.has(env['npm_lifecycle_event'] ?? '') && env['INIT_CWD']) || process.cwd()
  return {
    env,
    folder,
    isInteractive: stdout.isTTY === true && env['TERM'] !== 'dumb',
    interrupted,
    columns: () => Math.max(MIN_COLUMNS, Math.min(stdout.columns ?? DEFAULT_COLUMNS, MAX_COLUMNS)),
    rows: () => stdout.rows ?? Number.POSITIVE_INFINITY,
    write: (text) => void stdout.write(text),
    note: (line) => void stderr.write(`${line}\n`),
  }
}

export { createTerminal, printResult, type Terminal }
