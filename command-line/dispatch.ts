// Finds the command that was meant, checks its flags and runs it. citty ignores flags that it does not know and keeps
// only the last of repeated ones; here a mistyped flag is an error, before anything has happened.

import { parseArgs } from 'node:util'
import { type ArgsDef, type CommandDef, runCommand } from 'citty'
import { partsOf } from './command-parts.ts'
import { CliError } from './exit-codes.ts'
import { type Epilogues, renderHelp } from './help.ts'

type FoundCommand = {
  readonly command: CommandDef
  /** As typed: `gatehouse search create`. */
  readonly title: string
  readonly rawArgs: readonly string[]
}

/** Follows command names for as long as there are any. Throws CliError `usage` for a name that is none. */
async function findCommand(root: CommandDef, rawArgs: readonly string[]): Promise<FoundCommand> {
  let command = root
  let title = (await partsOf(root)).meta.name ?? ''
  let left = rawArgs
  for (;;) {
    const { subCommands } = await partsOf(command)
    const names = Object.keys(subCommands)
    const [name] = left
    if (names.length === 0 || name === undefined || name.startsWith('-')) return { command, title, rawArgs: left }
    const next = Object.hasOwn(subCommands, name) ? subCommands[name] : undefined
    if (next === undefined) {
      throw new CliError('usage', `unknown command "${name}"${didYouMean(name, names)}; ${title} has: ${names.join(', ')}`)
    }
    command = await next()
    title = `${title} ${name}`
    left = left.slice(1)
  }
}

/** Runs a command line. Returns help text instead where that was asked for; otherwise null. */
async function dispatch(root: CommandDef, rawArgs: readonly string[], columns: number, epilogues: Epilogues = {}): Promise<string | null> {
  const found = await findCommand(root, rawArgs)
  const beforeDashes = found.rawArgs.includes('--') ? found.rawArgs.slice(0, found.rawArgs.indexOf('--')) : found.rawArgs
  if (beforeDashes.includes('--help') || beforeDashes.includes('-h')) return renderHelp(found.command, found.title, columns, epilogues)
  const { meta, args, subCommands } = await partsOf(found.command)
  if (Object.keys(subCommands).length > 0) {
    const [flag] = found.rawArgs
    if (flag === undefined) {
      throw new CliError('usage', `${found.title} needs a command: ${Object.keys(subCommands).join(', ')} (more: ${found.title} --help)`)
    }
    if (flag === '--version' && meta.version !== undefined) return meta.version
    throw new CliError(
      'usage',
      `unknown flag ${flag}; flags come after the command, for example "${found.title} ${Object.keys(subCommands)[0]} ${flag}"`,
    )
  }
  checkFlags(found.rawArgs, args, found.title)
  await runCommand(found.command, { rawArgs: [...found.rawArgs] })
  return null
}

/** Throws CliError `usage` for flags and arguments that the command does not have, and for flags without their value. */
function checkFlags(rawArgs: readonly string[], args: ArgsDef, title: string): void {
  const negated = new Set(Object.keys(args).flatMap((name) => (isOnByDefault(args[name]) ? [`no-${name}`] : [])))
  const known = new Set([...Object.keys(args).filter((name) => args[name]?.type !== 'positional'), ...negated])
  const positionals = Object.values(args).filter((arg) => arg.type === 'positional')
  const help = `(see ${title} --help)`
  const seen = new Set<string>()
  let given = 0
  for (const token of tokensOf(rawArgs, args)) {
    if (token.kind === 'positional') {
      given += 1
      if (given > positionals.length) throw new CliError('usage', `unexpected argument "${token.value}" ${help}`)
    }
    if (token.kind !== 'option') continue
    if (!known.has(token.name)) {
      throw new CliError('usage', `unknown flag ${token.rawName}${didYouMean(token.name, [...known], '--')} ${help}`)
    }
    const flag = `--${token.name}`
    if (args[token.name]?.type === 'boolean' || negated.has(token.name)) {
      if (token.value !== undefined) throw new CliError('usage', `${flag} takes no value, got "${token.value}" ${help}`)
    } else if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
      throw new CliError('usage', `${flag} needs a value ${help}`)
    }
    if (seen.has(token.name) && !isRepeatable(args[token.name])) throw new CliError('usage', `${flag} is given twice ${help}`)
    seen.add(token.name)
  }
}

/** Values of a flag that may be given several times, in order. */
function repeatedValues(rawArgs: readonly string[], args: ArgsDef, name: string): string[] {
  return tokensOf(rawArgs, args).flatMap((token) =>
    token.kind === 'option' && token.name === name && token.value !== undefined ? [token.value] : [],
  )
}

/** A flag that is on unless its negation is given: --no-fold for `fold`. */
function isOnByDefault(arg: ArgsDef[string] | undefined): boolean {
  return arg?.type === 'boolean' && arg.default === true
}

const REPEATABLE_HINT = ' (may be repeated)'

/** citty has no word for it, so the value hint says it, to people and to this check. */
function isRepeatable(arg: ArgsDef[string] | undefined): boolean {
  return arg?.valueHint?.endsWith(REPEATABLE_HINT) === true
}

function tokensOf(rawArgs: readonly string[], args: ArgsDef) {
  const options = Object.fromEntries(
    Object.entries(args).flatMap(([name, arg]) =>
      arg.type === 'positional' ? [] : [[name, { type: arg.type === 'boolean' ? ('boolean' as const) : ('string' as const) }]],
    ),
  )
  return parseArgs({ args: [...rawArgs], options, strict: false, allowPositionals: true, tokens: true }).tokens
}

function didYouMean(typed: string, known: readonly string[], prefix = ''): string {
  const close = known
    .map((name) => ({ name, distance: editDistance(typed, name) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.distance - b.distance)[0]
  return close === undefined ? '' : `; did you mean ${prefix}${close.name}?`
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    previous = row
  }
  return previous[b.length] ?? 0
}

export { dispatch, REPEATABLE_HINT, repeatedValues }
