// Help texts, from the same definitions that parse the flags.

import type { ArgDef, CommandDef } from 'citty'
import { partsOf } from './command-parts.ts'
import { exitCodes } from './exit-codes.ts'
import { renderTable, wrapText } from './text-layout.ts'

/** Texts that do not fit citty's definitions, keyed by command title such as `gatehouse search`. */
type Epilogues = Readonly<Record<string, string>>

/** The table of exit codes, for an epilogue. */
function exitCodeTable(): string {
  const table = renderTable(
    [{ title: '', align: 'right' }, { title: '' }],
    Object.values(exitCodes).map(({ code, meaning }) => [String(code), meaning]),
    '  ',
  )
  return `Exit codes:\n${table.replace(/^\s*\n/, '')}`
}

async function renderHelp(command: CommandDef, title: string, columns: number, epilogues: Epilogues = {}): Promise<string> {
  const { meta, args, subCommands } = await partsOf(command)
  const positionals = Object.entries(args).filter(([, arg]) => arg.type === 'positional')
  const flags = Object.entries(args).filter(([, arg]) => arg.type !== 'positional')
  const commands = await Promise.all(
    Object.entries(subCommands).map(async ([name, load]) => [name, (await partsOf(await load())).meta.description ?? ''] as const),
  )
  const usage = [
    title,
    ...(commands.length > 0 ? ['COMMAND'] : []),
    ...positionals.map(([name, arg]) => (arg.required === false ? `[${name.toUpperCase()}]` : name.toUpperCase())),
    ...(flags.length > 0 ? ['[FLAGS]'] : []),
  ].join(' ')
  const sections = [
    ...wrapText(meta.description ?? '', columns),
    '',
    `Usage: ${usage}`,
    section('Commands', commands, columns),
    section(
      'Arguments',
      positionals.map(([name, arg]) => [name.toUpperCase(), describe(arg)]),
      columns,
    ),
    section('Flags', [...flags.map(([name, arg]) => [flagText(name, arg), describe(arg)] as const), ['-h, --help', 'print this']], columns),
  ]
  const epilogue = epilogues[title]
  if (epilogue !== undefined) sections.push('', epilogue)
  return sections.filter((part) => part !== null).join('\n')
}

function section(heading: string, entries: readonly (readonly [string, string])[], columns: number): string | null {
  if (entries.length === 0) return null
  const labelWidth = Math.min(34, Math.max(...entries.map(([label]) => label.length)) + 4)
  const lines = entries.flatMap(([label, text]) => {
    const wrapped = wrapText(text, Math.max(30, columns - labelWidth))
    const first = `  ${label}`
    // A label too long for its column has a line of its own.
    if (first.length + 2 > labelWidth) wrapped.unshift('')
    return wrapped.map((line, index) => `${(index === 0 ? first : '').padEnd(labelWidth)}${line}`.trimEnd())
  })
  return ['', `${heading}:`, ...lines].join('\n')
}

function flagText(name: string, arg: ArgDef): string {
  if (arg.type === 'boolean') return `--${arg.default === true ? 'no-' : ''}${name}`
  if (arg.type === 'enum') return `--${name} ${(arg.options ?? []).join('|')}`
  return `--${name} ${arg.valueHint ?? 'VALUE'}`
}

function describe(arg: ArgDef): string {
  const text = arg.description ?? ''
  return arg.default === undefined || typeof arg.default === 'boolean' ? text : `${text} (default: ${arg.default})`
}

export { type Epilogues, exitCodeTable, renderHelp }
